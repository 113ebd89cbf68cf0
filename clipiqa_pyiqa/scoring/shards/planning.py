"""The plan of a run: its part of the shards, and the files of their results."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import CLIPIQAError
from ...files.names import below_common, printable
from ...files.writing import LockedError, locked
from ...images.image import MISSING, reason
from ...results.columns import ResultsError, changes, changes_text
from ...results.folder import (
    RUN,
    Run,
    left_out_note,
    read_run,
    read_shard_result,
    results_in,
    save_shard,
    way_of_scoring,
)
from ...results.formats import Head
from ...results.rows import Row
from ...sources.stores import FilesShard, Shard, ShardError, is_remote, joined
from ...sources.tables import ParquetShard, check_columns, image_column, opened_table

if TYPE_CHECKING:
    import pyarrow

logger = logging.getLogger("clipiqa_pyiqa")
_OPENED = 100  # Parquet files in a store that are opened before the first image


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
    head: Head
    overwrite: bool = False
    stamp: str | None = None
    problem: str | None = None
    state: str = "new"
    lock: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def identity(self) -> str:
        """Return the shard's full path or URL; for loose files, their name and a hash of all names."""
        name = printable(self.shard.name)
        if isinstance(self.shard, FilesShard):
            names = "\0".join(printable(source.name) for source in self.shard.sources)
            return f"{name} ({hashlib.sha256(names.encode()).hexdigest()[:8]})"
        return name if is_remote(name) else os.path.abspath(name)

    def begin(self) -> bool:
        """Lock the result; return False if there is nothing to do."""
        self.stamp = self.shard.stamp()
        if self._is_done():
            return False
        if is_remote(self.path):
            return True
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        try:
            self.lock.enter_context(locked(self.path))
        except LockedError:
            self.state = "being scored by another run"
            return False
        return not self._is_done()  # another run may have scored it in the meantime

    def _is_done(self) -> bool:
        """Return whether there is a result, and the shard has not changed since."""
        try:
            found = read_shard_result(self.path)
        except ResultsError:  # missing or damaged
            return False
        is_same = not self.overwrite and found.shard == self.identity
        is_same = is_same and way_of_scoring(found.head) == way_of_scoring(self.head)
        if is_same and found.stamp is not None and self.stamp in (found.stamp, MISSING):
            self.state = "kept"
        else:
            self.state = "changed" if is_same and self.stamp is not None else "scored again"
        return self.state == "kept"

    def save(self, rows: Sequence[Row]) -> None:
        kind = getattr(self.shard, "kind", "own")
        save_shard(self.path, rows, self.head, shard=self.identity, stamp=self.stamp, kind=kind)


def part_of(text: str | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return I and N of ``I/N``, of a SLURM task for ``slurm``, or 1 and 1 for None."""
    if text is None:
        if "SLURM_ARRAY_TASK_ID" in environment:
            logger.warning("every task of this SLURM array scores all shards: pass part='slurm' to share them.")
        return 1, 1
    found = re.fullmatch(r"(\d+)/(\d+)", _part_of_task(environment) if text == "slurm" else text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise CLIPIQAError(
            f"part must be I/N with I from 1 to N, such as 3/8 for the third of eight, or slurm; got {text}."
        )
    return number, count


def _part_of_task(environment: Mapping[str, str]) -> str:
    numbers = [environment.get(f"SLURM_ARRAY_TASK_{name}", "") for name in ("ID", "MIN", "MAX", "STEP", "COUNT")]
    if not all(map(str.isdecimal, numbers)):
        raise CLIPIQAError(
            "part='slurm' needs a task of a SLURM array, such as sbatch --array=1-8; or pass part='I/N'."
        )
    task, first, last, step, count = map(int, numbers)
    if first + (count - 1) * step != last:
        raise CLIPIQAError(
            f"the numbers of this SLURM array have gaps ({count} tasks from {first} to {last}): pass part='I/{count}' "
            f"in each task, with I from 1 to {count}."
        )
    return f"{(task - first) // step + 1}/{count}"


def plan(shards: Sequence[Shard], out: str, head: Head, part: tuple[int, int], overwrite: bool) -> list[Job]:
    """Write ``run.json``, and return the jobs of a part. Raises ``CLIPIQAError`` before any result is replaced."""
    names = [f"{printable(name)}.parquet" for name in result_names(shards)]
    jobs = {name: Job(shard, joined(out, name), head, overwrite) for name, shard in zip(names, shards, strict=True)}
    mine = dict.fromkeys(names[part[0] - 1 :: part[1]])
    before, there = read_run(out), results_in(out)
    known = before.shards.copy() if before else {}
    heads = {joined(out, RUN): before.head} if before else {}
    for name in jobs.keys() & there - known.keys():
        result = read_shard_result(jobs[name].path)  # raises if the file is not ours
        known[name], heads[result.path] = (result.shard, None), result.head
    for path, earlier in heads.items() if not overwrite else ():
        if way_of_scoring(earlier) != way_of_scoring(head):
            found = _changes(earlier, head)
            raise ResultsError(
                f"{path!r} was made with another metric or in another way: {found}; use the earlier options, another "
                "output folder, or `overwrite`."
            )
    for name in jobs.keys() & there if not overwrite else ():
        if known[name][0] != jobs[name].identity:
            raise ResultsError(
                f"{jobs[name].path!r} holds the result of {known[name][0]!r} with other images or under another name "
                "than this run's: name all shards and files in every run, because the names of results depend on their "
                "common folder; or use another output folder, or `overwrite` if only the files have changed."
            )
    _check_tables([jobs[name].shard for name in mine if overwrite or name not in there])
    if left_out := there - jobs.keys():
        logger.warning("%s.", left_out_note(left_out))
    stamps = {name: stamp for name, (_, stamp) in known.items() if name not in mine}
    Run(head, {name: (job.identity, stamps.get(name)) for name, job in jobs.items()}).save(out)
    return [jobs[name] for name in mine]


def _changes(before: Head, now: Head) -> str:
    columns = {column.name: column.record for column in before.columns}
    found = changes(before.reading, now.reading)
    for column in now.columns:
        named = changes(columns.get(column.name, {}), column.record)
        found += [(f"{column.name!r} {key}", old, new) for key, old, new in named]
    return changes_text([("columns", ", ".join(before.scores), ", ".join(now.scores)), *found])


def note_stamps(out: str, head: Head, jobs: Sequence[Job]) -> None:
    """Write the stamps of finished jobs into ``run.json``."""
    stamps = {job.path: job.stamp for job in jobs if job.stamp != MISSING}
    with contextlib.suppress(LockedError), contextlib.ExitStack() as lock:
        if not is_remote(out):
            lock.enter_context(locked(joined(out, RUN)))
        run = read_run(out)
        if run is not None and way_of_scoring(run.head) == way_of_scoring(head):
            shards = {
                name: (shard, stamps.get(joined(out, name)) or stamp) for name, (shard, stamp) in run.shards.items()
            }
            Run(run.head, shards).save(out)


def _check_tables(shards: Sequence[Shard]) -> None:
    """Raise ``CLIPIQAError`` if a Parquet file lacks a column, or if files differ in a kept column's type."""
    import pyarrow

    tables = [shard for shard in shards if isinstance(shard, ParquetShard)]
    tables = [shard for number, shard in enumerate(tables) if number < _OPENED or not is_remote(shard.name)]
    try:
        with ThreadPoolExecutor(16) as pool:
            pyarrow.unify_schemas([pyarrow.schema([]), *pool.map(_kept_schema, tables)], promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise ShardError(f"the columns to keep hold different types: {reason(error)}.") from error


def _kept_schema(shard: ParquetShard) -> pyarrow.Schema:
    import pyarrow

    try:
        with opened_table(shard.name) as table:
            schema = table.schema_arrow
    except ShardError:  # its turn will say what is wrong
        return pyarrow.schema([])
    image_column(shard.name, schema, shard.image_column)
    check_columns(shard.name, schema, shard.keep)
    return pyarrow.schema(each for each in schema if each.name in shard.keep and not pyarrow.types.is_nested(each.type))


def result_names(shards: Sequence[Shard]) -> list[str]:
    """Return the shards' paths below their common folder."""
    names = [_full_path(shard) for shard in shards]
    below = below_common([name for name in names if name.startswith("/")])
    return [below.get(name, name) for name in names]


def _full_path(shard: Shard) -> str:
    if isinstance(shard, FilesShard) or not hasattr(shard, "kind"):
        return shard.name
    if is_remote(shard.name):
        return posixpath.normpath("/" + shard.name.replace("://", "/"))
    return posixpath.join("/", os.path.abspath(shard.name).replace(os.sep, "/"))
