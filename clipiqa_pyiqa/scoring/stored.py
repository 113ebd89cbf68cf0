"""Scores of single metrics on disk, found by image, stamp and the hash of everything that they depend on."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import counted, first_of
from ..files.journal import Journal, read_journal
from ..files.writing import as_output_error
from ..images.image import Image
from .engine import Options, plan, score_items
from .metrics import MetricSet
from .rows import Answer

Progress = Callable[[str, int, int], object]
"""Function of a data set's name, the number of finished images, and the number of all images."""
UNREAD = ""  # in place of a metric's key, for images that cannot be read
log = logging.getLogger("clipiqa_pyiqa")


class ScoreStore:
    """Scores in a folder of journals (None: in memory only); each process writes its own journal.

    Attributes:
        entries: A metric's key -> an image's key (:func:`key_of`) -> the answer.
    """

    def __init__(self, folder: Path | None, overwrite: bool = False) -> None:
        self.entries: dict[str, dict[str, Answer]] = {}
        self._folder = folder
        self._journal: Journal | None = None
        damaged = list[str]()
        for file in sorted(folder.glob("*.jsonl")) if folder else ():
            if overwrite:
                file.unlink()
                continue
            damage = list[str]()
            with as_output_error(file):
                for row in read_journal(file, damage):
                    self._keep(row.pop("group"), row.pop("name"), Answer(**row))
            damaged += [f"{line} of {str(file)!r}" for line in damage]
        if damaged:
            log.warning("damaged lines, whose scores are computed again: %s.", first_of(damaged))

    def get(self, metric: str, image: str) -> Answer | None:
        return self.entries.get(metric, {}).get(image)

    def add(self, metric: str, image: str, entry: Answer) -> None:
        """Add a score, and write it to the disk. Raises ``OutputError`` if the disk is full."""
        self._keep(metric, image, entry)
        if self._folder is not None:
            if self._journal is None:
                with as_output_error(self._folder):
                    self._folder.mkdir(parents=True, exist_ok=True)
                self._journal = Journal.create(self._folder / f"{uuid.uuid4().hex}.jsonl")
            self._journal.append({"group": metric, "name": image, **entry._asdict()})

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal = None

    def _keep(self, metric: str, image: str, entry: Answer) -> None:
        known = self.entries.setdefault(metric, {})
        if not entry.error or image not in known or known[image].error:  # an error replaces no score
            known[image] = entry


def key_of(name: str, stamp: str | None) -> str:
    return f"{stamp or ''}#{name}"


def score_missing(
    title: str, images: Sequence[Image], metrics: MetricSet, store: ScoreStore, options: Options, progress: Progress
) -> tuple[dict[str, str], dict[str, str]]:
    """Score what the store lacks; return image -> its key, and image -> why it cannot be read."""
    keys, unread, options = dict[str, str](), dict[str, str](), replace(options, count=len(images))
    names = {name.partition("#")[2] for entries in store.entries.values() for name in entries}

    def known(image: Image) -> list[bool | None]:
        stamp = image.stamp()
        keys[image.name] = key = key_of(image.name, stamp)
        found = [
            (store.get(metric.key, key) or store.get(UNREAD, key)) if stamp else None for metric in metrics.metrics
        ]
        return [None if entry is None else not entry.error for entry in found]

    tasks = list(plan(images, metrics, options, known))
    count, done = len(images), len(images) - len(tasks)
    if names:
        changed = sum(task.image.name in names for task in tasks)
        new = len(tasks) - changed
        log.info(
            "%s: %s kept, %s scored again or by more metrics, %s new.", title, counted(done, "image"), changed, new
        )
    progress(title, done, count)
    try:
        for number, row in enumerate(score_items(tasks, metrics, options), done + 1):
            keys[row.path] = key = key_of(row.path, row.stamp)
            if row.width is None:
                log.warning("%s: left out of all metrics: %s", title, row.error)
                unread[row.path] = row.error
                store.add(UNREAD, key, Answer(error=row.error))
            for metric, answer in zip(metrics.metrics, row.answers, strict=False):
                if answer is not None:
                    store.add(metric.key, key, answer)
            progress(title, number, count)
    finally:
        store.close()
    return keys, unread
