"""Results by shard, their summary, the file ``run.json``, which names the shards, and one merged file."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FilePath, Kind, checked, counted, few, first_of, reason
from ..files.writing import check_output, replacing, resolved
from ..sources.stores import ShardError, address_of, files_below, joined, opened, write_whole
from ..sources.tables import opened_table
from .columns import ResultsError
from .formats import JOURNAL, Head, format_of, head_changes, parquet_record, publish

if TYPE_CHECKING:
    import pandas
    import pyarrow

RUN = "run.json"


@dataclass
class Run:
    """What ``run.json`` holds: the columns and shards of a run.

    Attributes:
        shards: Path of a result -> the shard.
    """

    head: Head
    shards: dict[str, str]

    def save(self, folder: str) -> None:
        """Write ``run.json`` whole; of simultaneous runs, the last wins."""
        record = {**self.head.record, "shards": self.shards}
        write_whole(joined(folder, RUN), json.dumps(record, indent=1).encode())


def read_run(folder: str) -> Run | None:
    """Return what a folder's ``run.json`` holds; None if there is no such file. Raises ``ResultsError``."""
    if os.path.isfile(folder):
        return None
    path = joined(folder, RUN)
    try:
        with opened(path) as file:
            record = json.load(file)
        return Run(Head.of(record), dict(record["shards"]))
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, ShardError) and error.kind is Kind.MISSING:
            return None
        raise ResultsError(
            f"{path!r} cannot be read, or it is damaged: remove it, and run the command that scored the shards again."
        ) from error


@dataclass(frozen=True)
class ShardResult:
    """The metadata of a shard's result.

    Attributes:
        shard: Full path or address; for loose files, a name and their common folder.
    """

    path: str
    head: Head
    schema: pyarrow.Schema
    shard: str
    stamp: str | None
    kind: str
    images: int
    failures: Mapping[str, int]

    def has(self, head: Head) -> bool:
        """Return whether the columns of a head are there, made in the same way."""
        return not head_changes(self.head, head) and set(head.scores) <= set(self.head.scores)


def read_shard_result(path: str) -> ShardResult:
    """Return the metadata of a shard's result. Raises ``ResultsError`` if the file is damaged or not a result."""
    try:
        with opened_table(path) as table:
            record, schema = parquet_record(table) or {}, table.schema_arrow.remove_metadata()
        head = Head.of(record)
        return ShardResult(path, head, schema, **head.about, images=record["images"], failures=record["failures"])
    except (LookupError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path!r} is not the result of a shard that clipiqa score wrote, or it is damaged ({error}): remove it, "
            "or use another output folder."
        ) from error


def read_table(path: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
    with opened_table(path, page_checksum_verification=True) as table:
        return table.read(columns=columns)


def results_in(folder: str) -> set[str]:
    """Return the results in a folder, and the journals of results that are not finished."""
    files = (file for file in files_below(folder) if file.endswith((".parquet", JOURNAL)))
    return {file.removeprefix(folder).replace(os.sep, "/").lstrip("/") for file in files}


@dataclass(frozen=True)
class ShardedResult:
    """A summary of results by shard.

    Attributes:
        missing: Shard without a valid result -> the reason.
        states: State of this run's shards, such as ``'kept'`` -> their number.
        unmatched: Column of a file's scores -> images of this run's shards without a score.
    """

    head: Head
    results: Sequence[ShardResult] = field(repr=False)
    missing: Mapping[str, str]
    left_out: Sequence[str]
    unread: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, int] = field(default_factory=dict)
    unmatched: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def shards(self) -> int:
        return len(self.results)

    @property
    def images(self) -> int:
        return sum(result.images for result in self.results)

    @property
    def failures(self) -> Counter[str]:
        """Return kind of failure -> number of images."""
        failures = Counter[str]()
        for result in self.results:
            failures.update(result.failures)
        return failures

    @property
    def scored(self) -> int:
        """Number of images with a score by every metric that could be built."""
        others = self.failures[Kind.NOT_ASKED] + self.failures[Kind.NOT_IN_FILE]
        return self.images - self.failures.total() + others

    @property
    def absent(self) -> dict[str, list[str]]:
        """Return kept name -> shards none of whose samples has it."""
        found = defaultdict[str, list[str]](list)
        for result in self.results:
            for each in result.schema:
                if str(each.type) == "null":
                    found[each.name].append(result.shard)
        return found

    def tables(self) -> Iterator[pyarrow.Table]:
        return (read_table(result.path) for result in self.results)

    def quantiles(self, at: Sequence[float] = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)) -> pandas.DataFrame:
        """Return quantiles and the number of scores, one row per score column."""
        import pandas

        columns = self.head.scores
        with ThreadPoolExecutor(16) as pool:  # a store takes long to answer each request
            tables = pool.map(lambda result: read_table(result.path, columns).to_pandas(), self.results)
            frames = [pandas.DataFrame(columns=columns, dtype=float), *tables]
        frame = pandas.concat(frames)
        found = frame.quantile(list(at)).T.set_axis([f"{100 * level:g} %" for level in at], axis=1)
        return found.assign(scored=frame.count())

    def sentences(self) -> list[str]:
        failures = self.failures
        unasked = failures.pop(Kind.NOT_ASKED, 0)
        failures.pop(Kind.NOT_IN_FILE, 0)  # the run tells of each file
        kinds = ", ".join(f"{count} {kind}" for kind, count in failures.most_common())
        clauses = [
            f"{self.shards} of {counted(self.shards + len(self.missing), 'shard')}, {counted(self.images, 'image')}: "
            f"{self.scored:,} scored, {failures.total():,} failed{f' ({kinds})' if kinds else ''}"
        ]
        tables = (read_table(each.path, ["kind", "error"]) for each in self.results if each.failures)
        failed = (row["error"] for table in tables for row in table.to_pylist() if row["kind"] in failures)
        clauses += itertools.islice(failed, 5)
        if self.states:
            clauses.append("this run: " + ", ".join(f"{count:,} {state}" for state, count in self.states.items()))
        if unasked:
            clauses.append(
                f"{counted(unasked, 'image')} with cells that were not asked for; to fill them, score again with the "
                "metrics of all columns"
            )
        clauses += [f"not read: {why}" for why in self.unread.values()]
        if empty := [repr(result.shard) for result in self.results if not result.images]:
            clauses.append(f"without images: {first_of(empty)}")
        clauses += absent_notes(self.absent)
        return clauses + self.notes()

    def notes(self) -> list[str]:
        notes = []
        if self.missing and not self.states:
            notes.append(
                f"{counted(len(self.missing), 'shard')} without a valid result: {first_of(self.missing.values())}"
            )
        if self.left_out:
            what = f"{counted(len(self.left_out), 'result')} ({few(sorted(self.left_out))})"
            notes.append(f"left out, as this run lacks their shards or images: {what}")
        return notes


def absent_notes(absent: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        f"`keep` names {name!r}, but no sample of {first_of(map(repr, shards))} has it"
        for name, shards in absent.items()
        if shards
    ]


def summary_of(out: FilePath, *, partial: bool | None = True) -> ShardedResult:
    """Return a folder's summary; unless ``partial``, raise ``ResultsError`` if shards have no result."""
    folder = address_of(out)
    run = read_run(folder)
    if run is None:
        raise ResultsError(f"{str(out)!r} holds no results by shard: name the folder that clipiqa score wrote.")
    there, results, missing = results_in(folder), list[ShardResult](), dict[str, str]()
    for name, shard in run.shards.items():
        try:
            if name not in there or f"{name}{JOURNAL}" in there:
                raise ResultsError(f"{shard!r} is not scored" + (" to its end" if f"{name}{JOURNAL}" in there else ""))
            result = read_shard_result(joined(folder, name))
            if result.shard != shard or not result.has(run.head):
                raise ResultsError(f"the result of {shard!r} is from an earlier run")
            # thousands of equal heads would take much memory
            results.append(replace(result, head=results[0].head) if results else result)
        except ResultsError as error:
            missing[shard] = str(error)
    if missing and not partial:
        raise ResultsError(
            f"{str(out)!r} is not finished: {len(missing):,} of {counted(len(run.shards), 'shard')} have no valid "
            f"result ({first_of(missing.values())}): score the rest"
            f"{'.' if partial is None else ', or set `partial` to take what is there.'}"
        )
    reading = (results[0] if results else run).head.reading
    # how shards are read must be equal for all, but does not matter for a merged file
    reading = {name: value for name, value in reading.items() if name not in ("keep", "image_column")}
    left_out = sorted(name for name in there - run.shards.keys() if not name.endswith(JOURNAL))
    return ShardedResult(replace(run.head, reading=reading), results, missing, left_out)


def check_outside(target: Path, results: FilePath) -> None:
    if target.is_relative_to(resolved(address_of(results))):
        raise ResultsError(
            f"{str(target)!r} lies in the folder of the results: name a place outside of {str(results)!r}."
        )


@checked
def merge_shards(
    out: FilePath, path: FilePath | None = None, *, overwrite: bool = False, partial: bool = False
) -> ShardedResult:
    """Merge a folder's results by shard into one file, as ``clipiqa score --merge OUT`` does.

    Args:
        out: The folder, on disk or in a store.
        path: A csv, jsonl or parquet file; None means ``OUT.parquet`` beside the folder on disk.
        partial: Accept a run that has not scored all shards.
    """
    import pyarrow
    from pyarrow import parquet

    target = resolved(path or f"{address_of(out).rstrip('/')}.parquet")
    format = format_of(target)
    check_outside(target, out)
    target = check_output(target, overwrite=overwrite)
    found = summary_of(out, partial=partial)
    try:
        schemas = [each.schema for each in found.results] or [found.head.schema]
        schema = pyarrow.unify_schemas(schemas, promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise ResultsError(f"the shards' columns hold different types: {reason(error)}.") from error
    metadata = {
        **found.head.schema.metadata,
        **found.head.metadata(schema, images=found.images, failures=found.failures),
    }
    empty = schema.empty_table()  # adds columns of null where a table lacks them
    tables = (pyarrow.concat_tables([empty, table], promote_options="permissive") for table in found.tables())
    if format != "parquet":
        publish(target, format, found.head, (row for table in tables for row in table.to_pylist()))
        return found
    with (
        replacing(target) as unfinished,
        parquet.ParquetWriter(unfinished, schema.with_metadata(metadata), write_page_checksum=True) as writer,
    ):
        for table in tables:
            writer.write_table(table)
    return found
