"""Results by shard, their summary, the file ``run.json``, which names the shards, and one merged file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Kind, counted, first_of
from ..errors.arguments import checked
from ..files.writing import check_output, replacing, resolved
from ..images.image import reason, skipped_note
from ..sources.stores import ShardError, address_of, files_below, joined, opened, write_whole
from ..sources.tables import opened_table
from .columns import ResultsError, scale_text
from .formats import PARQUET_KEY, Head, format_of, write_tables
from .rows import Row

if TYPE_CHECKING:
    import pandas
    import pyarrow

RUN = "run.json"


@dataclass
class Run:
    """What ``run.json`` holds: the shards of a run, and how they are scored.

    Attributes:
        shards: Path of a result -> the shard, and its stamp (None until its turn).
    """

    head: Head
    shards: dict[str, tuple[str, str | None]]

    def save(self, folder: str) -> None:
        """Write ``run.json`` whole; of runs that write at the same time, the last one wins."""
        record = {**self.head.record, "shards": self.shards}
        write_whole(joined(folder, RUN), json.dumps(record, indent=1).encode())


def read_run(folder: str) -> Run | None:
    """Return what a folder's ``run.json`` holds; None if there is no such file. Raises ``ResultsError``."""
    path = joined(folder, RUN)
    try:
        with opened(path) as file:
            record = json.load(file)
        shards = {name: (str(shard), stamp) for name, (shard, stamp) in record["shards"].items()}
        return Run(Head.of(record), shards)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, ShardError) and error.kind is Kind.MISSING:
            return None
        raise ResultsError(
            f"{path!r} cannot be read, or it is damaged: remove it, and run the command that scored the shards again."
        ) from error


def way_of_scoring(head: Head) -> str:
    """Return a text that is equal for results that belong together: equal scales and kept columns."""
    return json.dumps([scale_text(head.columns), head.reading.get("keep"), head.reading.get("image_column")])


@dataclass(frozen=True)
class ShardResult:
    """The metadata of a shard's result.

    Attributes:
        shard: Full path or address; for loose files, a name and a hash.
        stamp: The shard's stamp when it was scored.
        kind: The kind of shard.
        failures: Kind of failure -> number of images.
    """

    path: str
    head: Head
    schema: pyarrow.Schema
    shard: str
    stamp: str | None
    kind: str
    images: int
    failures: Mapping[str, int]


def save_shard(path: str, rows: Sequence[Row], head: Head, **about: Any) -> None:
    """Write a scored shard's file whole or not at all; ``about``: ``shard``, ``stamp`` and ``kind``."""
    import pyarrow
    from pyarrow import parquet

    constants = head.constants
    table = pyarrow.Table.from_pylist([row.as_dict(head.scores) | constants for row in rows], head.schema)
    for name in dict.fromkeys(name for row in rows for name in row.kept):
        values = _array([row.kept.get(name) for row in rows])
        free = f"kept_{name}" if name in table.column_names else name
        table = table.add_column(table.num_columns - len(constants), free, values)
    failures = Counter(str(row.kind) for row in rows if row.kind)
    record = {**head.record, **about, "images": len(rows), "failures": failures}
    record["check"] = _check(record, table.schema)
    attrs = {**head.provenance, "shard": about["shard"]}
    metadata = {PARQUET_KEY: json.dumps(record), b"PANDAS_ATTRS": json.dumps(attrs)}
    file, table = io.BytesIO(), table.replace_schema_metadata(metadata)
    parquet.write_table(table, file, row_group_size=50_000, write_page_checksum=True)
    write_whole(path, file.getvalue())


def read_shard_result(path: str) -> ShardResult:
    """Return the metadata of a shard's result. Raises ``ResultsError`` if the file is damaged or not a result."""
    try:
        with opened_table(path) as table:
            schema = table.schema_arrow
            record = json.loads((schema.metadata or {})[PARQUET_KEY])
        if record.pop("check") != _check(record, schema):
            raise ValueError("its metadata has changed")
        head = Head.of({name: record.pop(name) for name in ("columns", "reading", "joined")})
        return ShardResult(path, head, schema.remove_metadata(), **record)
    except (LookupError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path!r} is not the result of a shard that clipiqa score wrote, or it is damaged ({error}): remove it, "
            "or use another output folder."
        ) from error


def read_table(path: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
    with opened_table(path, page_checksum_verification=True) as table:
        return table.read(columns=columns)


def results_in(folder: str) -> set[str]:
    files = (file for file in files_below(folder, []) if file.endswith(".parquet"))
    return {file.removeprefix(folder).replace(os.sep, "/").lstrip("/") for file in files}


def _check(record: Mapping[str, Any], schema: pyarrow.Schema) -> str:
    text = json.dumps(record, sort_keys=True) + str(schema.remove_metadata())
    return hashlib.sha256(text.encode()).hexdigest()


def _array(values: list[Any]) -> pyarrow.Array:
    """Return kept values as a column of one type; mixed types become JSON texts."""
    import pyarrow

    with contextlib.suppress(pyarrow.ArrowException, TypeError, ValueError, OverflowError):
        if not any(isinstance(value, dict | list) for value in values):
            return pyarrow.array(values)
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for value in values
    ]
    return pyarrow.array(texts, pyarrow.string())


QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class ShardedResult:
    """A summary of results by shard.

    Attributes:
        results: Results of the run in ``run.json``.
        missing: Shard without a valid result -> the reason.
        left_out: Other Parquet files in the folder.
        unread: Shard or path that this run could not read -> the reason.
        states: State of this run's shards, such as ``'kept'`` -> their number.
        skipped: Suffix -> number of photos in unreadable formats.
    """

    head: Head
    results: Sequence[ShardResult] = field(repr=False)
    missing: Mapping[str, str]
    left_out: Sequence[str]
    unread: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def shards(self) -> int:
        return len(self.results)

    @property
    def is_whole(self) -> bool:
        return not self.missing and not self.unread

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
        return self.images - self.failures.total()

    @property
    def absent(self) -> dict[str, list[str]]:
        """Return kept name -> archives none of whose samples has it."""
        found: dict[str, list[str]] = {}
        for result in self.results:
            for each in result.schema if result.kind == "tar" else ():
                if str(each.type) == "null":
                    found.setdefault(each.name, []).append(result.shard)
        return found

    def tables(self) -> Iterator[pyarrow.Table]:
        return (read_table(result.path) for result in self.results)

    def quantiles(self, at: Sequence[float] = QUANTILES) -> pandas.DataFrame:
        """Return quantiles, one row per score column."""
        import pandas

        columns = self.head.scores
        with ThreadPoolExecutor(16) as pool:  # a store takes long to answer each request
            tables = pool.map(lambda result: read_table(result.path, columns).to_pandas(), self.results)
            frames = [pandas.DataFrame(columns=columns, dtype=float), *tables]
        found = pandas.concat(frames).quantile(list(at)).T
        return found.set_axis([f"{100 * level:g} %" for level in at], axis=1)

    def sentences(self) -> list[str]:
        failures = self.failures
        kinds = ", ".join(f"{count} {kind}" for kind, count in failures.most_common())
        every = counted(self.shards + len(self.missing), "shard")
        clauses = [
            f"{self.shards} of {every}, {counted(self.images, 'image')}: "
            f"{self.scored:,} scored, {failures.total():,} failed{f' ({kinds})' if kinds else ''}"
        ]
        if self.states:
            clauses.append("this run: " + ", ".join(f"{count:,} {state}" for state, count in self.states.items()))
        clauses += [f"no result: {why}" for why in self.unread.values()]
        if empty := [repr(result.shard) for result in self.results if not result.images]:
            clauses.append(f"without images: {first_of(empty)}")
        for name, shards in self.absent.items():
            clauses.append(f"`keep` names {name!r}, but no sample of {first_of(map(repr, shards))} has it")
        if not self.states:  # a run tells at its start what it leaves out
            clauses += self.notes()
        if self.skipped:
            clauses.append(skipped_note(self.skipped))
        return clauses

    def notes(self) -> list[str]:
        notes = []
        if self.missing:
            shards = counted(len(self.missing), "shard")
            notes.append(f"{shards} without a valid result: {first_of(self.missing.values())}")
        if self.left_out:
            notes.append(left_out_note(self.left_out))
        return notes


def left_out_note(files: Collection[str]) -> str:
    return f"results that belong to no shard of this run are left out: {first_of(map(repr, sorted(files)))}"


def summary_of(out: str | Path, *, partial: bool = True) -> ShardedResult:
    """Return a folder's summary. Raises ``ResultsError`` if shards have no result, unless ``partial``."""
    folder = address_of(out)
    run = read_run(folder)
    if run is None:
        raise ResultsError(f"{str(out)!r} holds no results by shard: name the folder that clipiqa score wrote.")
    there, results, missing = results_in(folder), list[ShardResult](), dict[str, str]()
    wanted = way_of_scoring(run.head)
    for name, (shard, stamp) in run.shards.items():
        try:
            if name not in there:
                raise ResultsError(f"{shard!r} is not scored")
            result = read_shard_result(joined(folder, name))
            if result.shard != shard or way_of_scoring(result.head) != wanted:
                raise ResultsError(f"the result of {shard!r} is from an earlier run")
            if stamp not in (None, result.stamp):
                raise ResultsError(f"{shard!r} has changed since it was scored")
        except ResultsError as error:
            missing[shard] = str(error)
        else:
            # thousands of equal heads would take much memory
            results.append(replace(result, head=results[0].head) if results else result)
    if missing and not partial:
        raise ResultsError(
            f"{str(out)!r} is not finished: {len(missing):,} of {counted(len(run.shards), 'shard')} have no valid "
            f"result ({first_of(missing.values())}): score the rest, or set `partial` to take what is there."
        )
    head = results[0].head if results else run.head
    return ShardedResult(head, results, missing, sorted(there - run.shards.keys()))


def check_outside(target: Path, results: str | Path) -> None:
    if target.is_relative_to(resolved(address_of(results))):
        raise ResultsError(
            f"{str(target)!r} lies in the folder of the results: name a place outside of {str(results)!r}."
        )


@checked
def merge_shards(
    out: str | Path, path: str | Path | None = None, *, overwrite: bool = False, partial: bool = False
) -> ShardedResult:
    """Merge a folder's results by shard into one file, as ``clipiqa score --merge OUT`` does.

    Args:
        out: The folder, on disk or in a store.
        path: A csv, jsonl or parquet file; None means ``OUT.parquet`` beside the folder on disk.
        overwrite: Replace an existing file.
        partial: Accept a run that has not scored all shards.

    Returns:
        A summary of the file.

    Raises:
        ResultsError: There are no results, or not those of all shards; their columns differ; or the file cannot be
            written.
    """
    import pyarrow

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
    schema = schema.with_metadata(found.head.schema.metadata)
    with replacing(target) as unfinished:
        empty = schema.empty_table()  # adds columns of null where a table lacks them
        tables = (pyarrow.concat_tables([empty, table], promote_options="permissive") for table in found.tables())
        write_tables(unfinished, format, schema, tables)
    return found
