"""Scoring of shards: the shards to score, the files of their results, and the loop."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import math
import os
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...errors import CLIPIQAError, Kind
from ...errors.arguments import checked
from ...files.locking import LockedError, locked
from ...files.names import printable
from ...files.writing import check_folder
from ...images.source import NoImage
from ...sources.embeddings import EmbeddingsShard
from ...sources.finding import Found, find_shards
from ...sources.inputs import read_ahead
from ...sources.members import FilesShard, Shard, ShardError
from ...sources.parquet import ParquetShard, check_columns, opened_table
from ...sources.stores import address_of, is_remote, joined
from ..rows import Header, ResultsError, Row
from ..score import Questions, ScoringOptions, Work, rounded
from .summary import (
    Rows,
    ShardedResult,
    check_same,
    read_shard_result,
    results_in,
    save_shard,
    summary_of,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

Report = Callable[[int, int], object]
"""A function that receives the numbers of images and of shards that are done since the last call."""


@dataclass
class Job:
    """A shard to score; ``of`` counts all shards, ``problem`` says why there is no result."""

    shard: Shard
    path: str
    of: int
    header: Header
    overwrite: bool = False
    problem: str | None = None
    is_elsewhere: bool = False

    @property
    def identity(self) -> str:
        """Return a text that identifies the shard: its full path or URL; for loose files, a hash of their names."""
        name = printable(self.shard.name)
        if isinstance(self.shard, FilesShard):
            names = "\0".join(printable(source.name) for source in self.shard.sources)
            return f"{name} {hashlib.sha256(names.encode()).hexdigest()}"
        return name if is_remote(name) else os.path.abspath(name)

    def begin(self) -> contextlib.ExitStack | None:
        """Return a lock on the result; None if another run scores or has scored the shard."""
        lock = contextlib.ExitStack()
        if not is_remote(self.path):
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            try:
                lock.enter_context(locked(self.path))
            except LockedError:
                self.is_elsewhere = True
                return None
            if os.path.exists(self.path) and not self.overwrite:
                lock.close()
                return None
        return lock

    def save(self, rows: Rows) -> None:
        about = {"shard": printable(self.shard.name), "identity": self.identity, "of": self.of}
        about["kind"] = getattr(self.shard, "kind", "own")
        save_shard(self.path, rows, self.header, about)


@checked
def score_sources(
    metric: Any,
    sources: Any,
    prompts: Questions = None,
    *,
    out: str | Path,
    part: str | None = None,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    embeddings: bool = False,
    engine: Callable[[Work, Sequence[Job], Report], object] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int, int], object] | None = None,
    **options: Unpack[ScoringOptions],
) -> ShardedResult:
    """Score images into one Parquet file per shard, as ``clipiqa score … --out DIR`` does.

    The same call continues an interrupted run. An image that cannot be scored gets a row with an ``error``. A shard
    that cannot be read gets no result; the next call tries again.

    Args:
        metric: As for :func:`~clipiqa_pyiqa.score_paths`.
        sources: Paths as for :func:`~clipiqa_pyiqa.sources.finding.find_shards`, or :class:`~.members.Shard` objects.
        prompts: Questions as for :func:`~clipiqa_pyiqa.score_paths`.
        out: The folder of results, on disk or in a store.
        part: ``'3/8'`` scores the third of eight parts; None means the SLURM task's part, or all shards.
        keep: Columns to add: columns of Parquet files, keys of ``.json`` sidecars, or suffixes of other sidecars.
        image_column: The image column of Parquet files; None finds the column.
        embeddings: Score stored features: ``.npy``, or lists in Parquet files.
        engine: :class:`~clipiqa_pyiqa.ray.RayEngine` for a Ray cluster; None means this process.
        overwrite: Score finished shards again.
        progress: Called with the numbers of scored images, finished shards, and all shards of this part.
        options: Options of reading and scoring, as for :func:`~clipiqa_pyiqa.score_paths`.

    Returns:
        Counts, failures and quantiles of all results in ``out``.

    Raises:
        CLIPIQAError: There is nothing to score, or a source cannot be used; or ``out`` cannot be written, or holds
            results of another metric.
    """
    work = Work(metric, prompts, **options)
    found = sources
    if not isinstance(found, Found):
        found = find_shards(sources, keep=keep, image_column=image_column, features=embeddings)
    if found.is_empty:
        raise CLIPIQAError(f"{found.problem if found.problems else 'no source was given'}: there is nothing to score.")
    header, shards, folder = work.header, found.shards(), address_of(out)
    if embeddings:
        _check_features(work.net)
        views = {"views": "CLIP's own 224 px, from stored embeddings", "pos_embedding": "fixed", "apply_exif": None}
        header = Header(header.columns, {**header.provenance, **views})
    if not is_remote(folder):
        folder = str(check_folder(folder, []))
    names = [shard.name for shard in shards if isinstance(shard, ParquetShard) and shard.name not in found.problems]
    if keep and names:
        with opened_table(names[0]) as table:
            check_columns(names[0], table.schema_arrow, keep)
    todo, done = plan(shards, folder, header, part_of(part), overwrite)
    images, of = 0, done + len(todo)

    def report(more: int, finished: int) -> None:
        nonlocal images, done
        images, done = images + more, done + finished
        if progress is not None:
            progress(images, done, of)

    (engine or score_locally)(work, todo, report)
    summary = summary_of(folder)
    unread = {item.name: f"{item.problem}." for item in found.items if isinstance(item, NoImage)}
    unread |= {job.shard.name: job.problem for job in todo if job.problem is not None}
    elsewhere = sum(job.is_elsewhere for job in todo)
    return dataclasses.replace(
        summary, of=max(summary.of, len(shards)), unread=unread, elsewhere=elsewhere, skipped=found.skipped
    )


def _check_features(net: Any) -> None:
    nets = list(getattr(net, "nets", {"": net}).values())
    for each in nets:
        on_stages = getattr(getattr(each, "head", None), "on_stages", False)
        if not hasattr(each, "clip") or on_stages or getattr(getattr(each, "view", None), "dims", 2) != 2:
            raise CLIPIQAError("embeddings hold one final CLIP feature per image, but this metric needs more features.")
    if len(backbones := {each.clip.weights.backbone for each in nets}) > 1:
        raise CLIPIQAError(f"embeddings need metrics of one backbone; got metrics of {', '.join(sorted(backbones))}.")


def part_of(text: str | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return the numbers I and N of a text ``I/N``; None means the task of a SLURM array, or all shards."""
    if text is None and "SLURM_ARRAY_TASK_ID" in environment:
        task, least, tasks = (int(environment[f"SLURM_ARRAY_TASK_{name}"]) for name in ("ID", "MIN", "COUNT"))
        text = f"{task - least + 1}/{tasks}"
    found = re.fullmatch(r"(\d+)/(\d+)", "1/1" if text is None else text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise CLIPIQAError(f"part must be I/N with I from 1 to N, such as 3/8 for the third of eight; got {text}.")
    return number, count


def plan(
    shards: Sequence[Shard], out: str, header: Header, part: tuple[int, int], overwrite: bool
) -> tuple[list[Job], int]:
    """Return a part's unfinished shards, and the number of its finished shards. Raises ``ResultsError``."""
    paths = [joined(out, f"{printable(name)}.parquet") for name in result_names(shards)]
    jobs = {path: Job(shard, path, len(shards), header, overwrite) for shard, path in zip(shards, paths, strict=True)}
    wanted = {job.identity: path for path, job in jobs.items()}
    done = set()
    for found in map(read_shard_result, results_in(out)):
        path = wanted.get(found.identity)
        if path != found.path and (path or (found.path in jobs and not overwrite)):
            raise ResultsError(
                f"{found.path!r} holds the result of {found.shard!r} with other images or under another name than "
                "this run's: name all shards and files in every run, because the names of results depend on their "
                "common folder; or use another output folder, or `overwrite` if only the files have changed."
            )
        if found.path in jobs and not overwrite:
            check_same(found, header)
            done.add(found.path)
    mine = list(jobs.values())[part[0] - 1 :: part[1]]
    todo = [job for job in mine if job.path not in done]
    return todo, len(mine) - len(todo)


def result_names(shards: Sequence[Shard]) -> list[str]:
    """Return the shards' paths in the folder that all shards share, without suffix."""
    names = [_full_path(shard) for shard in shards]
    folders = [posixpath.dirname(name) for name in names if name.startswith("/")]
    common = len(posixpath.commonpath(folders).rstrip("/")) + 1 if folders else 0
    names = [name[common:] if name.startswith("/") else name for name in names]
    short = [re.sub(r"(?<=[^/])(\.tar\.\w+|\.[^./]*)$", "", name) for name in names]
    count = Counter(name.lower() for name in short)  # some file systems treat A and a as the same name
    return [stem if count[stem.lower()] == 1 else name for stem, name in zip(short, names, strict=True)]


def _full_path(shard: Shard) -> str:
    """Return a file's absolute path with ``/``; an address becomes ``/SCHEME/PATH``."""
    if isinstance(shard, FilesShard) or not hasattr(shard, "kind"):
        return shard.name
    if is_remote(shard.name):
        return posixpath.normpath("/" + shard.name.replace("://", "/"))
    return posixpath.join("/", os.path.abspath(shard.name).replace(os.sep, "/"))


def score_shard(work: Work, shard: Shard, report: Report = lambda images, shards: None) -> Rows:
    """Return a shard's rows, with the values that ``--keep`` copies. Raises ``ShardError``."""
    rows = []
    for row in _feature_rows(work, shard) if isinstance(shard, EmbeddingsShard) else _image_rows(work, shard):
        rows.append(row)
        report(1, 0)
    return rows


def _image_rows(work: Work, shard: Shard) -> Iterator[tuple[Row, Mapping[str, Any]]]:
    sources, passed = itertools.tee(read_ahead(shard))
    for row, source in zip(work.rows(sources), passed, strict=False):
        yield row, getattr(source, "kept", {})


def _feature_rows(work: Work, shard: EmbeddingsShard) -> Iterator[tuple[Row, Mapping[str, Any]]]:
    net = work.net
    questions = () if work.questions is None else (work.questions,)
    numbers = itertools.count()
    for features, kept in shard.blocks(net.clip.width, net.clip.weights.backbone):
        units = torch.nn.functional.normalize(torch.from_numpy(features), dim=1).to(work.device)
        with torch.no_grad():
            scores = rounded(net.score(units, *questions))
        for values, beside in zip(scores, kept, strict=True):
            row = Row(f"{shard.name}::{next(numbers)}", values)
            if not all(map(math.isfinite, values)):
                error = f"{row.path!r} cannot be scored: its features are zero or not finite."
                row = Row(row.path, kind=Kind.NOT_FINITE, error=error)
            yield row, beside


def score_locally(work: Work, jobs: Sequence[Job], report: Report) -> None:
    for job in jobs:
        if (lock := job.begin()) is not None:
            with lock:
                try:
                    job.save(score_shard(work, job.shard, report))
                except ShardError as error:
                    job.problem = str(error)
        report(0, 1)
