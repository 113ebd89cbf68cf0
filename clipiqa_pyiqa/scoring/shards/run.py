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
from typing import Any

import torch

from ...errors import CLIPIQAError, Kind
from ...errors.arguments import SharedOptions, checked
from ...files.locking import LockedError, locked
from ...files.names import printable
from ...files.writing import check_folder
from ...images.reader import Damaged
from ...sources.embeddings import EmbeddingsShard
from ...sources.finding import Found, find_shards
from ...sources.inputs import read_ahead
from ...sources.members import FilesShard, Shard, ShardError
from ...sources.parquet import ParquetShard, check_columns, opened_table
from ...sources.stores import address_of, is_remote, joined
from ..rows import Header, ResultsError, Row
from ..score import Questions, Work, rounded
from .summary import (
    Rows,
    ShardedResult,
    ShardResult,
    check_same,
    read_shard_result,
    read_table,
    results_in,
    save_shard,
    summary_of,
)

Report = Callable[[int, int], object]
"""A function that receives the numbers of images and of shards that are done since the last call."""
_ADVICE = (
    "name all shards and files in every run, as the names of results depend on the folder that all share, or use "
    "another output folder."
)


@dataclass
class Job:
    """A shard to score; ``of`` counts all shards, ``problem`` says why there is no result."""

    shard: Shard
    path: str
    of: int
    header: Header
    replaces: bool = False
    problem: str | None = None
    is_elsewhere: bool = False

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
            if os.path.exists(self.path) and not self.replaces:
                lock.close()
                return None
        return lock

    def save(self, rows: Rows, skipped: Counter[str]) -> None:
        kind = getattr(self.shard, "kind", "own")
        about = {"shard": printable(self.shard.name), "kind": kind, "of": self.of, "names": _names_of(self.shard)}
        save_shard(self.path, rows, skipped, self.header, about)


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
    device: str | torch.device | None = SharedOptions.device,
    batch_size: int = SharedOptions.batch_size,
    workers: int | None = SharedOptions.workers,
    apply_exif: bool = SharedOptions.apply_exif,
    max_side: int | None = SharedOptions.max_side,
    max_pixels: int | None = SharedOptions.max_pixels,
    damaged: Damaged = SharedOptions.damaged,
    overwrite: bool = False,
    progress: Callable[[int, int, int], object] | None = None,
) -> ShardedResult:
    """Score images into one Parquet file per shard, as ``clipiqa score … --out DIR`` does.

    The same call continues an interrupted run. An image that cannot be scored gets a row with an ``error``. A shard
    that cannot be read gets no result; the next call tries again.

    Args:
        metric: A ``CLIPIQA``, or the result of ``pyiqa.create_metric('clipiqa')``.
        sources: Paths as for :func:`~clipiqa_pyiqa.sources.finding.find_shards`, or :class:`~.members.Shard` objects.
        prompts: Questions as for :func:`~clipiqa_pyiqa.score_paths`.
        out: The folder of results, on disk or in a store.
        part: ``'3/8'`` scores the third of eight parts; None means the SLURM task's part, or all shards.
        keep: Columns to add: columns of Parquet files, keys of ``.json`` sidecars, or suffixes of other sidecars.
        image_column: The image column of Parquet files; None finds the column.
        embeddings: Score stored features: ``.npy``, ``.npz``, or lists in Parquet files.
        engine: :class:`~clipiqa_pyiqa.ray.RayEngine` for a Ray cluster; None means this process.
        overwrite: Score finished shards again.
        progress: Called with the numbers of scored images, finished shards, and all shards of this part.

    Returns:
        Counts, failures and quantiles of all results in ``out``.

    Raises:
        CLIPIQAError: There is nothing to score, or a source cannot be used; or ``out`` cannot be written, or holds
            results of another metric.
    """
    limits = {"apply_exif": apply_exif, "max_side": max_side, "max_pixels": max_pixels, "damaged": damaged}
    work = Work(metric, prompts, device, batch_size, workers, limits)
    numbers, found = part_of(part), sources
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
    todo, done = plan(shards, folder, header, numbers, overwrite)
    images, of = 0, done + len(todo)

    def report(more: int, finished: int) -> None:
        nonlocal images, done
        images, done = images + more, done + finished
        if progress is not None:
            progress(images, done, of)

    (engine or score_locally)(work, todo, report)
    summary = summary_of(folder)
    unread = {name: f"{problem}." for name, problem in found.missing.items()}
    unread |= {job.shard.name: job.problem for job in todo if job.problem is not None}
    summary.counts.skipped.update(found.skipped)
    elsewhere = sum(job.is_elsewhere for job in todo)
    return dataclasses.replace(summary, of=max(summary.of, len(shards)), unread=unread, elsewhere=elsewhere)


def _check_features(net: Any) -> None:
    nets = list(getattr(net, "nets", {"": net}).values())
    for each in nets:
        on_stages = getattr(getattr(each, "head", None), "on_stages", False)
        if not hasattr(each, "clip") or on_stages or getattr(getattr(each, "view", None), "dims", 2) != 2:
            raise CLIPIQAError("embeddings hold one final CLIP feature per image, but this metric needs more features.")
    if len(backbones := {each.clip.weights.backbone for each in nets}) > 1:
        raise CLIPIQAError(f"embeddings need metrics of one backbone; got metrics of {', '.join(sorted(backbones))}.")


def part_of(text: str | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return ``(3, 8)`` for ``'3/8'``; for None, the part of a SLURM array's task, or ``(1, 1)``."""
    if text is None and "SLURM_ARRAY_TASK_ID" in environment:
        task, tasks, least, step = (
            int(environment.get(f"SLURM_ARRAY_TASK_{name}") or default)
            for name, default in (("ID", 0), ("COUNT", 1), ("MIN", 0), ("STEP", 1))
        )
        text = f"{(task - least) // step + 1}/{tasks}"
    text = "1/1" if text is None else text
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise CLIPIQAError(f"part must be I/N with I from 1 to N, such as 3/8 for the third of eight; got {text}.")
    return number, count


def plan(
    shards: Sequence[Shard], out: str, header: Header, part: tuple[int, int], overwrite: bool
) -> tuple[list[Job], int]:
    """Return a part's unfinished shards, and the number of its finished shards. Raises ``ResultsError``."""
    jobs = {}
    for shard, name in zip(shards, result_names(shards), strict=True):
        path = joined(out, f"{printable(name)}.parquet")
        jobs[path] = Job(shard, path, len(shards), header)
    paths = {_identity(job.shard.name): path for path, job in jobs.items()}
    has_files = any(isinstance(shard, FilesShard) for shard in shards)
    done = set()
    for found in map(read_shard_result, results_in(out)):
        if found.path in jobs:
            jobs[found.path].replaces = True
            if not overwrite and _is_done(jobs[found.path], found):
                done.add(found.path)
        elif (now := paths.get(_identity(found.shard))) or (found.kind == FilesShard.kind and has_files):
            raise ResultsError(
                f"{found.shard!r} has its result in {found.path!r}, but this run uses {now or 'other results'!r}: "
                f"{_ADVICE}"
            )
    mine = list(jobs.values())[part[0] - 1 :: part[1]]
    todo = [job for job in mine if job.path not in done]
    return todo, len(mine) - len(todo)


def _is_done(job: Job, found: ShardResult) -> bool:
    check_same(found, job.header)
    if _identity(found.shard) != _identity(printable(job.shard.name)):
        raise ResultsError(f"{job.path!r} is the result of {found.shard!r} and not of {job.shard.name!r}: {_ADVICE}")
    if not isinstance(job.shard, FilesShard) or found.names == _names_of(job.shard):
        return True
    before = set(read_table(job.path, ["path"])["path"].to_pylist())
    if before and before.isdisjoint(printable(source.name) for source in job.shard.sources):
        raise ResultsError(f"{job.path!r} holds the results of other files, such as {min(before)!r}: {_ADVICE}")
    return False


def result_names(shards: Sequence[Shard]) -> list[str]:
    """Return the shards' paths in the folder that all shards share, without suffix."""
    files = [hasattr(shard, "kind") and not isinstance(shard, FilesShard) for shard in shards]
    names = [_full_path(shard.name) if is_file else shard.name for shard, is_file in zip(shards, files, strict=True)]
    folders = [posixpath.dirname(name) for name in names if name.startswith("/")]
    common = len(posixpath.commonpath(folders).rstrip("/")) + 1 if folders else 0
    names = [name[common:] if name.startswith("/") else name for name in names]
    short = [re.sub(r"(?<=[^/])(\.tar\.\w+|\.[^./]*)$", "", name) for name in names]
    count = Counter(name.lower() for name in short)  # some file systems treat A and a as the same name
    return [stem if count[stem.lower()] == 1 else name for stem, name in zip(short, names, strict=True)]


def _full_path(name: str) -> str:
    """Return an absolute path with ``/``; an address becomes ``/SCHEME/PATH``."""
    if is_remote(name):
        return posixpath.normpath("/" + name.replace("://", "/"))
    return posixpath.join("/", os.path.abspath(name).replace(os.sep, "/"))


def _names_of(shard: Shard) -> str:
    if not isinstance(shard, FilesShard):
        return ""
    return hashlib.sha256("\0".join(printable(source.name) for source in shard.sources).encode()).hexdigest()


def _identity(name: str) -> str:
    return name if is_remote(name) else os.path.abspath(name)


def score_shard(work: Work, shard: Shard, report: Report = lambda images, shards: None) -> tuple[Rows, Counter[str]]:
    """Return a shard's rows with their kept values, and its skipped photos. Raises ``ShardError``."""
    rows = []
    for row in _feature_rows(work, shard) if isinstance(shard, EmbeddingsShard) else _image_rows(work, shard):
        rows.append(row)
        report(1, 0)
    return rows, Counter(getattr(shard, "skipped", {}))


def _image_rows(work: Work, shard: Shard) -> Iterator[tuple[Row, Mapping[str, Any]]]:
    sources, passed = itertools.tee(read_ahead(shard))
    for row, source in zip(work.rows(sources), passed, strict=False):
        yield row, getattr(source, "kept", {})


def _feature_rows(work: Work, shard: EmbeddingsShard) -> Iterator[tuple[Row, Mapping[str, Any]]]:
    net = work.net
    questions = () if work.questions is None else (work.questions,)
    for first, features, kept in shard.blocks(net.clip.width, net.clip.weights.backbone):
        units = torch.nn.functional.normalize(torch.from_numpy(features), dim=1).to(work.device)
        with torch.no_grad():
            scores = rounded(net.score(units, *questions))
        for number, (values, beside) in enumerate(zip(scores, kept, strict=True), first):
            row = Row(f"{shard.name}::{number}", values)
            if not all(map(math.isfinite, values)):
                error = f"{row.path!r} cannot be scored: its features are zero or not finite."
                row = Row(row.path, kind=Kind.NOT_FINITE, error=error)
            yield row, beside


def score_locally(work: Work, jobs: Sequence[Job], report: Report) -> None:
    for job in jobs:
        if (lock := job.begin()) is not None:
            with lock:
                try:
                    job.save(*score_shard(work, job.shard, report))
                except ShardError as error:
                    job.problem = str(error)
        report(0, 1)
