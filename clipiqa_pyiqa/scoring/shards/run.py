"""Scoring of shards: the shards to score, the files of their results, and the loop."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import logging
import math
import os
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...errors import CLIPIQAError, Kind
from ...errors.arguments import checked
from ...files.locking import LockedError, locked
from ...files.names import printable
from ...files.writing import check_folder
from ...images.source import MISSING, NoImage, reason, stamp_of
from ...sources.embeddings import EmbeddingsShard
from ...sources.finding import Found, find_shards
from ...sources.inputs import read_ahead
from ...sources.members import FilesShard, Shard, ShardError
from ...sources.parquet import ParquetShard, check_columns, image_column, opened_table
from ...sources.stores import address_of, is_remote, joined
from ..engine import rounded
from ..metrics import MetricSet
from ..rows import Header, ResultsError, Row, header_changes
from ..score import Questions, ScoringOptions, ScoringSetup
from .run_file import RUN, Run, made, read_run
from .summary import Rows, ShardedResult, left_out_note, read_shard_result, results_in, save_shard, summary_of

if TYPE_CHECKING:
    import pyarrow
    from typing_extensions import Unpack

logger = logging.getLogger("clipiqa_pyiqa")
_OPENED = 100  # Parquet files in a store that are opened before the first image
Report = Callable[[int, int], object]
"""A function that receives the numbers of images and of shards that are done since the last call."""


@dataclass
class Job:
    """A shard to score.

    Attributes:
        path: The file of its result.
        stamp: The shard's stamp when its turn came.
        problem: Why there is no result.
        state: What was done, as in :attr:`.summary.ShardedResult.states`.
    """

    shard: Shard
    path: str
    header: Header
    overwrite: bool = False
    stamp: str | None = None
    problem: str | None = None
    state: str = "new"

    @property
    def identity(self) -> str:
        """Return the shard's full path or URL; for loose files, their name and a hash of all names."""
        name = printable(self.shard.name)
        if isinstance(self.shard, FilesShard):
            names = "\0".join(printable(source.name) for source in self.shard.sources)
            return f"{name} ({hashlib.sha256(names.encode()).hexdigest()[:8]})"
        return name if is_remote(name) else os.path.abspath(name)

    def begin(self) -> contextlib.ExitStack | None:
        """Return a lock on the result; None if the shard has a result, or another run scores it."""
        self.stamp = stamp_of(self.shard)
        lock = contextlib.ExitStack()
        if self._is_done():
            return None
        if not is_remote(self.path):
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            try:
                lock.enter_context(locked(self.path))
            except LockedError:
                self.state = "being scored by another run"
                return None
            if self._is_done():  # another run has scored it in the meantime
                lock.close()
                return None
        return lock

    def _is_done(self) -> bool:
        """Return whether the result is of the shard as it is; a vanished shard keeps its result."""
        try:
            found = read_shard_result(self.path)
        except ResultsError:  # missing or damaged
            return False
        is_same = found.shard == self.identity and made(found.header) == made(self.header) and not self.overwrite
        if is_same and found.stamp is not None and self.stamp in (found.stamp, MISSING):
            self.state = "kept"
        else:
            self.state = "changed" if is_same and self.stamp is not None else "scored again"
        return self.state == "kept"

    def save(self, rows: Rows) -> None:
        about = {"shard": self.identity, "stamp": self.stamp, "kind": getattr(self.shard, "kind", "own")}
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
    engine: Callable[[ScoringSetup, Sequence[Job], Report], object] | None = None,
    overwrite: bool = False,
    trust_weights: bool = False,
    strict: bool = False,
    progress: Callable[[int, int, int], object] | None = None,
    **options: Unpack[ScoringOptions],
) -> ShardedResult:
    """Score images into one Parquet file per shard, as ``clipiqa score … --out DIR`` does.

    The same call continues an interrupted run, and scores changed shards again. An image that cannot be
    scored gets a row with an ``error``. A shard that cannot be read gets no result; the next call tries again.

    Args:
        metric: As for :func:`~clipiqa_pyiqa.score_paths`.
        sources: Paths as for :func:`~clipiqa_pyiqa.sources.finding.find_shards`, or :class:`~.members.Shard` objects.
        prompts: Questions as for :func:`~clipiqa_pyiqa.score_paths`.
        out: The folder of results, on disk or in a store.
        part: ``'3/8'`` scores the third of eight parts, ``'slurm'`` the part of a SLURM array's task.
        keep: Columns to add: of Parquet files, keys of ``.json`` sidecars, suffixes of other sidecars.
        image_column: The image column of Parquet files; None finds the column.
        embeddings: Score stored features: ``.npy``, or lists in Parquet files.
        engine: :class:`~clipiqa_pyiqa.ray.RayEngine` for a Ray cluster; None means this process.
        overwrite: Score finished shards again.
        trust_weights, strict: As for :func:`~clipiqa_pyiqa.score_paths`.
        progress: Called with the numbers of scored images, finished shards and all shards.
        options: Options of reading and scoring, as for :func:`~clipiqa_pyiqa.score_paths`.

    Returns:
        Counts, failures and quantiles of the results of all shards in ``out``.

    Raises:
        CLIPIQAError: There is nothing to score, or a source cannot be used; or ``out`` cannot be written, or holds
            results of another metric.
    """
    work = ScoringSetup(metric, prompts, trust_weights=trust_weights, strict=strict, **options)
    found = sources
    if not isinstance(found, Found):
        found = find_shards(sources, keep=keep, image_column=image_column, features=embeddings)
    if found.is_empty:
        raise CLIPIQAError(f"{found.problem if found.problems else 'no source was given'}: there is nothing to score.")
    header, shards, folder = work.header, found.shards(), address_of(out)
    if embeddings:
        _check_features(work.metrics)
        views = {"views": "CLIP's own 224 px, from stored embeddings", "pos_embedding": "fixed", "apply_exif": None}
        header = Header(header.columns, {**header.provenance, **views})
    if not is_remote(folder):
        folder = str(check_folder(folder, []))
    header = Header(header.columns, {**header.provenance, "keep": keep, "image_column": image_column})
    jobs = plan(shards, folder, header, part_of(part), overwrite)
    images, done = 0, 0

    def report(more: int, finished: int) -> None:
        nonlocal images, done
        images, done = images + more, done + finished
        if progress is not None:
            progress(images, done, len(jobs))

    try:
        (engine or score_locally)(work, jobs, report)
    finally:
        _note_stamps(folder, header, jobs)
    unread = {item.name: f"{item.problem}." for item in found.items if isinstance(item, NoImage)}
    unread |= {job.shard.name: job.problem for job in jobs if job.problem is not None}
    states = Counter("not read" if job.problem else job.state for job in jobs)
    return dataclasses.replace(summary_of(folder), unread=unread, states=states, skipped=found.skipped)


def _check_features(metrics: MetricSet) -> None:
    for metric in metrics.metrics:
        net = metric.net
        on_stages = getattr(getattr(net, "head", None), "on_stages", False)
        if not hasattr(net, "clip") or on_stages or getattr(getattr(net, "view", None), "dims", 2) != 2:
            name = f"metric {metric.spec.label!r}" if metric.spec.label else "this metric"
            raise CLIPIQAError(f"embeddings hold one final CLIP feature per image, but {name} needs more.")
    backbones = {metric.net.clip.weights.backbone: None for metric in metrics.metrics}
    if len(backbones) > 1:
        raise CLIPIQAError(f"embeddings need metrics of one backbone; got metrics of {', '.join(backbones)}.")


def part_of(text: str | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return I and N of a text ``I/N``; ``slurm`` means the task of a SLURM array, and None all shards."""
    slurm = [environment.get(f"SLURM_ARRAY_TASK_{name}", "") for name in ("ID", "MIN", "MAX", "STEP", "COUNT")]
    if text is None and slurm[0]:
        logger.warning("this is a task of a SLURM array, but it scores all shards: set `part` to slurm to share them.")
    if text == "slurm":
        if not all(map(str.isdecimal, slurm)):
            raise CLIPIQAError(
                "`part` slurm needs a task of a SLURM array, such as sbatch --array=1-8; or set `part` to I/N."
            )
        task, first, last, step, count = map(int, slurm)
        if list(range(first, last + 1, step)[count - 1 :]) != [last]:
            raise CLIPIQAError(
                f"the numbers of this SLURM array have gaps ({count} tasks from {first} to {last}): set `part` to I/N "
                f"in each task, with I from 1 to {count}, such as --part 1/{count}."
            )
        text = f"{(task - first) // step + 1}/{count}"
    found = re.fullmatch(r"(\d+)/(\d+)", "1/1" if text is None else text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise CLIPIQAError(
            f"part must be I/N with I from 1 to N, such as 3/8 for the third of eight, or slurm; got {text}."
        )
    return number, count


def plan(shards: Sequence[Shard], out: str, header: Header, part: tuple[int, int], overwrite: bool) -> list[Job]:
    """Write ``run.json``, and return the jobs of a part. Raises ``CLIPIQAError`` before any result is replaced."""
    names = [f"{printable(name)}.parquet" for name in result_names(shards)]
    jobs = {name: Job(shard, joined(out, name), header, overwrite) for name, shard in zip(names, shards, strict=True)}
    mine = dict.fromkeys(names[part[0] - 1 :: part[1]])
    before, there = read_run(out), results_in(out)
    known = before.shards.copy() if before else {}
    headers = {joined(out, RUN): before.header} if before else {}
    for name in jobs.keys() & there - known.keys():
        result = read_shard_result(jobs[name].path)  # raises if the file is not ours
        known[name], headers[result.path] = (result.shard, None), result.header
    for path, earlier in headers.items():
        if made(earlier) != made(header) and not overwrite:
            changes = header_changes(earlier, header)
            raise ResultsError(
                f"{path!r} was made with another metric or in another way: {changes}; use the earlier options, another "
                "output folder, or `overwrite`."
            )
    for name in jobs.keys() & there:
        if known[name][0] != jobs[name].identity and not overwrite:
            raise ResultsError(
                f"{jobs[name].path!r} holds the result of {known[name][0]!r} with other images or under another name "
                "than this run's: name all shards and files in every run, because the names of results depend on their "
                "common folder; or use another output folder, or `overwrite` if only the files have changed."
            )
    _check_tables([jobs[name].shard for name in mine if overwrite or name not in there])
    if left_out := there - jobs.keys():
        logger.warning("%s.", left_out_note(left_out))
    stamps = {name: stamp for name, (_, stamp) in known.items() if name not in mine}
    Run(header, {name: (job.identity, stamps.get(name)) for name, job in jobs.items()}).save(out)
    return [jobs[name] for name in mine]


def _check_tables(shards: Sequence[Shard]) -> None:
    """Raise ``CLIPIQAError`` if a Parquet file lacks a column, or if files disagree on a kept column's type.

    In a store, only some files are opened.
    """
    import pyarrow

    tables = [shard for shard in shards if isinstance(shard, ParquetShard)]
    tables = [shard for number, shard in enumerate(tables) if number < _OPENED or not is_remote(shard.name)]
    schemas = [pyarrow.schema([])]
    with ThreadPoolExecutor(16) as pool:
        for shard, schema in zip(tables, pool.map(_schema_of, tables), strict=True):
            if schema is not None:
                image_column(shard.name, schema, shard.image_column)
                check_columns(shard.name, schema, shard.keep)
                plain = (each for each in schema if each.name in shard.keep and not pyarrow.types.is_nested(each.type))
                schemas.append(pyarrow.schema(plain))
    try:
        pyarrow.unify_schemas(schemas, promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise ShardError(f"the columns to keep hold different types: {reason(error)}.") from error


def _schema_of(shard: ParquetShard) -> pyarrow.Schema | None:
    with contextlib.suppress(ShardError), opened_table(shard.name) as table:  # its turn will say what is wrong
        return table.schema_arrow
    return None


def _note_stamps(out: str, header: Header, jobs: Sequence[Job]) -> None:
    stamps = {job.path: job.stamp for job in jobs if job.stamp != MISSING}
    with contextlib.suppress(LockedError), contextlib.ExitStack() as lock:
        if not is_remote(out):
            lock.enter_context(locked(joined(out, RUN)))
        run = read_run(out)
        if run is not None and made(run.header) == made(header):
            shards = {
                name: (shard, stamps.get(joined(out, name)) or stamp) for name, (shard, stamp) in run.shards.items()
            }
            Run(run.header, shards).save(out)


def result_names(shards: Sequence[Shard]) -> list[str]:
    names = [_full_path(shard) for shard in shards]
    folders = [posixpath.dirname(name) for name in names if name.startswith("/")]
    common = len(posixpath.commonpath(folders).rstrip("/")) + 1 if folders else 0
    names = [name[common:] if name.startswith("/") else name for name in names]
    short = [re.sub(r"(?<=[^/])(\.tar\.\w+|\.[^./]*)$", "", name) for name in names]
    count = Counter(name.lower() for name in short)  # some file systems treat A and a as the same name
    return [stem if count[stem.lower()] == 1 else name for stem, name in zip(short, names, strict=True)]


def _full_path(shard: Shard) -> str:
    if isinstance(shard, FilesShard) or not hasattr(shard, "kind"):
        return shard.name
    if is_remote(shard.name):
        return posixpath.normpath("/" + shard.name.replace("://", "/"))
    return posixpath.join("/", os.path.abspath(shard.name).replace(os.sep, "/"))


def score_shard(work: ScoringSetup, shard: Shard, report: Report = lambda images, shards: None) -> Rows:
    if isinstance(shard, EmbeddingsShard):
        found = _feature_rows(work, shard)
    else:
        found = work.rows(read_ahead(shard), stamped=isinstance(shard, FilesShard))
    rows = []
    for row in found:
        rows.append((row, row.kept))
        report(1, 0)
    return rows


def _feature_rows(work: ScoringSetup, shard: EmbeddingsShard) -> Iterator[Row]:
    metrics, numbers = work.metrics.metrics, itertools.count()
    clip = metrics[0].net.clip
    for features, kept in shard.blocks(clip.width, clip.weights.backbone):
        units = torch.nn.functional.normalize(torch.from_numpy(features), dim=1)
        is_usable = (units.norm(dim=1) > 0.5).tolist()  # False for NaN
        units = units.where(torch.tensor(is_usable)[:, None], clip.width**-0.5).to(work.device)
        with torch.no_grad():
            scores = rounded(torch.cat([metric.score_features(units) for metric in metrics], dim=1))
        for values, beside, usable in zip(scores, kept, is_usable, strict=True):
            row = Row(f"{shard.name}::{next(numbers)}", values, kept=beside)
            if not usable or not all(map(math.isfinite, values)):
                error = f"{row.path!r} cannot be scored: its features are zero or not finite."
                row = Row(row.path, kind=Kind.NOT_FINITE, error=error, kept=beside)
            yield row


def score_locally(work: ScoringSetup, jobs: Sequence[Job], report: Report) -> None:
    for job in jobs:
        if (lock := job.begin()) is not None:
            with lock:
                try:
                    job.save(score_shard(work, job.shard, report))
                except ShardError as error:
                    job.problem = str(error)
        report(0, 1)
