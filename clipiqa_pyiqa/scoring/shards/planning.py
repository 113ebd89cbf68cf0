"""The plan of a run: its part of the shards, and the files of their results."""

import contextlib
import os
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow

from ...errors import CLIPIQAError, Kind, log, reason
from ...files.locking import LockedError
from ...files.printable import printable
from ...files.shown_text import below_common
from ...images.image import MISSING
from ...metrics.metric import MetricSet
from ...results.columns import ResultsError, Row, changes, changes_text, is_final
from ...results.folder import RUN, Run, read_run, read_shard_result, read_table, results_in
from ...results.formats import JOURNAL, Head, head_changes, journal_of, read_cells
from ...results.results import Output, Results
from ...sources.finding import Found
from ...sources.stores import FilesShard, Shard, ShardError, is_remote, joined, opened, remove, write_whole
from ...sources.tables import ParquetShard, image_column, opened_table

_OPENED = 100  # Parquet files that are opened before the first image


@dataclass
class Job:
    """A shard to score.

    Attributes:
        results: The :class:`.Results` of its images, from :meth:`begin` to :meth:`save`.
        lost: Earlier images that the shard no longer has.
        state: What was done, as in :attr:`.ShardedResult.states`.
    """

    shard: Shard
    path: str
    asked: Head
    head: Head
    metrics: MetricSet
    stamp: str | None = None
    results: Any = None
    problem: str = ""
    lost: Sequence[str] = ()
    state: str = "new"
    _copy: TemporaryDirectory[str] | None = None  # of the result in a store

    @property
    def identity(self) -> str:
        """Return the shard's full path or URL; for loose files, their name and common folder."""
        name = printable(self.shard.name)
        if isinstance(self.shard, FilesShard):
            return f"{name} of {self.shard.folder or '.'}"
        return name if is_remote(name) else os.path.abspath(name)

    def begin(self) -> bool:
        """Lock the result, and read what is known; return False if there is nothing to do."""
        self.stamp, path = self.shard.stamp(), Path(self.path)
        self.state = self._state()
        if self.state == "kept":
            return False
        if is_remote(self.path):
            self._copy = TemporaryDirectory()
            path = Path(self._copy.name, "result.parquet")
            if self.state != "new":
                with opened(self.path) as file:
                    path.write_bytes(file.read())
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.results = self._opened(path)
        except LockedError:
            self.state = "being scored by another run"
            return False
        if self.state == "joined" and (known := self.results.known):  # none is known of a damaged result
            known.seen[:] = b"\1" * len(known.seen)
            self.save((), lambda: None)
            return False
        return True

    def _state(self) -> str:
        """Return what to do, by the result's metadata."""
        try:
            found = read_shard_result(self.path)
        except ResultsError:  # missing or damaged
            return "new"
        if found.shard != self.identity or None in (found.stamp, self.stamp):
            return "scored again"
        if self.stamp not in (found.stamp, MISSING):
            return "changed"
        if not found.has(self.asked) or os.path.exists(journal_of(Path(self.path))):
            return "completed"
        same_decoders = found.head.reading.get("decoders") == self.asked.reading.get("decoders")
        is_known = all(column.fingerprint for column in self.asked.columns)
        kinds = found.failures.keys() - {Kind.NOT_IN_FILE}  # no image is decoded again for another tool's score
        is_done = is_known and all(is_final(Kind(kind), same_decoders) for kind in kinds)
        if not is_done and self.stamp != MISSING:
            return "completed"
        return "joined" if self.metrics.files else "kept"

    def _opened(self, path: Path) -> Results:
        asked = self.asked
        made = partial(Results, columns=asked.columns, reading=asked.reading, exact=True)
        try:
            results = made(Output(path, "parquet", True, True))
        except ResultsError:  # a damaged file, or images that were read in another way
            results = made(Output(path, "parquet", False, True))
        joined = {**results.head.joined, **self.head.joined}
        about = {"shard": self.identity, "stamp": self.stamp, "kind": self.shard.kind}
        results.head = self.head.with_columns(results.head.columns, joined=joined, about=about)
        results.known.stamp = self.stamp or ""
        return results

    def save(self, rows: Iterable[Row], report: Callable[[], object]) -> None:
        """Store the rows of the shard, each as it comes, then write its result unless there is a problem."""
        results, self.results = self.results, None
        try:
            with results:
                for row in rows:
                    results.append(row)
                    report()
                if self.problem:
                    raise ShardError(self.problem)
                self.metrics.join(results)
                self.lost = list(results.known.unseen)
        except ShardError as error:
            self.problem = str(error)
            if self.state == "changed":  # nobody may take it for the result of the changed shard
                remove(self.path)
        else:
            if self._copy:
                write_whole(self.path, Path(self._copy.name, "result.parquet").read_bytes())

    def close(self) -> None:
        """Unlock the result; what is not published stays in its journal."""
        if self.results:
            self.results.close()


def part_of(text: str | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return I and N of ``I/N``, of a SLURM task for ``slurm``, or 1 and 1 for None."""
    if text is None:
        if "SLURM_ARRAY_TASK_ID" in environment:
            log.warning("every task of this SLURM array scores all shards: pass part='slurm' to share them.")
        return 1, 1
    if text == "slurm":
        numbers = [environment.get(f"SLURM_ARRAY_TASK_{name}", "") for name in ("ID", "MIN", "MAX", "STEP", "COUNT")]
        if not all(map(str.isdecimal, numbers)):
            raise CLIPIQAError(
                "part='slurm' needs a task of a SLURM array, such as sbatch --array=1-8; or pass part='I/N'."
            )
        task, first, last, step, count = map(int, numbers)
        if first + (count - 1) * step != last:
            raise CLIPIQAError(
                f"the numbers of this SLURM array have gaps ({count} tasks from {first} to {last}): pass "
                f"part='I/{count}' in each task, with I from 1 to {count}."
            )
        return (task - first) // step + 1, count
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise CLIPIQAError(
            f"part must be I/N with I from 1 to N, such as 3/8 for the third of eight, or slurm; got {text}."
        )
    return number, count


def plan_shards(
    found: Found, out: str, metrics: MetricSet, asked: Head, part: tuple[int, int], overwrite: bool
) -> list[Job]:
    """Write ``run.json``, and return the jobs of a part. Raises ``CLIPIQAError`` before any result is replaced."""
    before, there = read_run(out), results_in(out)
    shards = found.shards(_numbers(out, there))
    asked = Head.of(asked.record)  # as read from a file
    names = [f"{printable(name)}.parquet" for name in result_names(shards)]
    known = before.shards.copy() if before else {}
    heads = {joined(out, RUN): before.head} if before and there else {}
    for name in there.intersection(names) - known.keys():
        result = read_shard_result(joined(out, name))  # raises if the file is not ours
        known[name], heads[result.path] = result.shard, result.head
    for path, earlier in heads.items() if not overwrite else ():
        if differing := head_changes(earlier, asked):
            raise ResultsError(
                f"{path!r} was made in another way: {changes_text(differing)}; use the earlier options, another output "
                "folder, or `overwrite`, to score what has changed again."
            )
    same = [each for each in (*heads.values(), asked) if not changes(each.reading, asked.reading)]
    columns = {column.name: column for each in same for column in each.columns}
    columns |= {metric.label: metric.columns[0] for metric in metrics.files}
    values = {name: text for each in same for name, text in each.joined.items()}
    head = replace(asked, columns=tuple(columns.values()), joined=values)
    jobs = {
        name: Job(shard, joined(out, name), asked, head, metrics) for name, shard in zip(names, shards, strict=True)
    }
    for name, job in jobs.items() if not overwrite else ():
        if not there.isdisjoint((name, f"{name}{JOURNAL}")) and known.get(name, job.identity) != job.identity:
            raise ResultsError(
                f"{job.path!r} holds the result of {known[name]!r}, not of {job.identity!r}: name all shards and files "
                "in every run, because the names of results depend on their common folder; or use another output "
                "folder, or `overwrite` if only the files have changed."
            )
    mine = names[part[0] - 1 :: part[1]]
    _check_tables([jobs[name].shard for name in mine if overwrite or name not in there])
    Run(head, {name: job.identity for name, job in jobs.items()}).save(out)
    return [jobs[name] for name in dict.fromkeys(mine)]


def _numbers(out: str, there: Collection[str]) -> dict[str, int]:
    """Return the number of the numbered shard that holds each loose file."""
    found = dict[str, int]()
    for name in there:
        if match := re.fullmatch(rf"files-(\d+)\.parquet({re.escape(JOURNAL)})?", name):
            with contextlib.suppress(LookupError, ValueError):  # a damaged result
                path = joined(out, name)
                cells = read_cells(Path(path), "jsonl", []) if match[2] else read_table(path, ["path"]).to_pylist()
                found |= {each["path"]: int(match[1]) for each in cells}
    return found


def _check_tables(shards: Sequence[Shard]) -> None:
    """Raise ``CLIPIQAError`` if a Parquet file lacks a column, or if files differ in a kept column's type."""
    tables = [shard for shard in shards if isinstance(shard, ParquetShard)][:_OPENED]
    try:
        with ThreadPoolExecutor(16) as pool:
            pyarrow.unify_schemas([pyarrow.schema([]), *pool.map(_kept_schema, tables)], promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise ShardError(f"the columns to keep hold different types: {reason(error)}.") from error


def _kept_schema(shard: ParquetShard) -> pyarrow.Schema:
    try:
        with opened_table(shard.name) as table:
            schema = table.schema_arrow
    except ShardError:  # its turn will say what is wrong
        return pyarrow.schema([])
    image_column(shard, schema)
    return pyarrow.schema(each for each in schema if each.name in shard.keep and not pyarrow.types.is_nested(each.type))


def result_names(shards: Sequence[Shard]) -> list[str]:
    """Return the shards' paths below their common folder."""
    names = [_full_path(shard) for shard in shards]
    below = below_common([name for name in names if name.startswith("/")])
    return [below.get(name, name) for name in names]


def _full_path(shard: Shard) -> str:
    if shard.kind in ("files", "own"):
        return shard.name
    if is_remote(shard.name):
        return posixpath.normpath("/" + shard.name.replace("://", "/"))
    return posixpath.join("/", os.path.abspath(shard.name).replace(os.sep, "/"))
