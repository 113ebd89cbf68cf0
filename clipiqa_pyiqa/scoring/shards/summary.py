"""Results by shard: the Parquet files, a summary of their folder, and one merged file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import counted, first_of
from ...errors.arguments import checked
from ...files.writing import check_output, replacing
from ...images.formats import skipped_note
from ...images.source import reason
from ...sources.folders import files_below
from ...sources.parquet import opened_table
from ...sources.stores import address_of, write_whole
from ..layouts import write_tables
from ..result_files import format_of
from ..rows import CONSTANT_COLUMNS, PARQUET_KEY, Header, ResultsError, Row
from .run_file import made, read_run

if TYPE_CHECKING:
    import pandas
    import pyarrow

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
SAMPLE = 1000  # the most values in a sample
_TOGETHER = 100  # results whose samples are made into one
Rows = Sequence[tuple[Row, Mapping[str, Any]]]
"""Rows; each row comes with the values that are kept beside its scores."""
Sample = tuple[float, list[float]]
"""Sorted scores of a column, and the number of images that each score stands for."""


@dataclass(frozen=True)
class Counts:
    """Numbers of images, and a sample of each column's scores."""

    images: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    samples: Mapping[str, Sample] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def scored(self) -> int:
        return self.images - self.failed

    @classmethod
    def total(cls, parts: Sequence[Counts]) -> Counts:
        columns = dict.fromkeys(column for part in parts for column in part.samples)
        samples = {column: sample_of([part.samples[column] for part in parts]) for column in columns}
        return cls(sum(part.images for part in parts), sum((part.failures for part in parts), Counter()), samples)


def sample_of(samples: Sequence[Sample]) -> Sample:
    """Return all scores, sorted; if they are many, the scores at equal steps of rank."""
    values = np.concatenate([np.asarray(scores, float) for _, scores in samples])
    order = np.argsort(values)
    if len(values) <= SAMPLE:
        return 1.0, values[order].tolist()
    images = np.cumsum(np.repeat([each for each, _ in samples], [len(scores) for _, scores in samples])[order])
    at = (np.arange(SAMPLE) + 0.5) / SAMPLE * images[-1]
    return images[-1] / SAMPLE, values[order][np.searchsorted(images, at)].tolist()


@dataclass(frozen=True)
class ShardResult:
    """The metadata of a shard's result.

    Attributes:
        shard: Full path or address; for loose files, a name and a hash.
        stamp: The shard's stamp when it was scored.
        kind: The kind of shard.
    """

    path: str
    header: Header
    schema: pyarrow.Schema
    counts: Counts
    shard: str
    stamp: str | None
    kind: str


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

    header: Header
    results: Sequence[ShardResult] = field(repr=False)
    missing: Mapping[str, str]
    left_out: Sequence[str]
    counts: Counts = field(repr=False)
    unread: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def shards(self) -> int:
        return len(self.results)

    @property
    def of(self) -> int:
        return len(self.results) + len(self.missing)

    @property
    def is_whole(self) -> bool:
        return not self.missing and not self.unread

    @property
    def absent(self) -> dict[str, list[str]]:
        """Return kept name -> archives none of whose samples has it."""
        found: dict[str, list[str]] = {}
        for result in self.results:
            for each in result.schema if result.kind == "tar" else ():
                if str(each.type) == "null":
                    found.setdefault(each.name, []).append(result.shard)
        return found

    def quantiles(self, at: Sequence[float] = QUANTILES) -> pandas.DataFrame:
        """Return quantiles, one row per score column; at most 0.2 % of the images lie between them and the exact."""
        import pandas

        rows = {
            column: np.quantile(self.counts.samples[column][1] or [np.nan], at, method="inverted_cdf")
            for column in self.header.columns
        }
        return pandas.DataFrame.from_dict(rows, orient="index", columns=[f"{100 * level:g} %" for level in at])

    def sentences(self) -> list[str]:
        counts = self.counts
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.failures.most_common())
        clauses = [
            f"{self.shards} of {counted(self.of, 'shard')}, {counted(counts.images, 'image')}: "
            f"{counts.scored:,} scored, {counts.failed:,} failed{f' ({kinds})' if kinds else ''}"
        ]
        if self.states:
            clauses.append("this run: " + ", ".join(f"{count:,} {state}" for state, count in self.states.items()))
        clauses += [f"no result: {why}" for why in self.unread.values()]
        if empty := [repr(result.shard) for result in self.results if not result.counts.images]:
            clauses.append(f"without images: {first_of(empty)}")
        for name, shards in self.absent.items():
            clauses.append(f"no sample has {name!r}, which keep names: {first_of(map(repr, shards))}")
        return [*clauses, *([] if self.states else self.notes()), *filter(None, [skipped_note(self.skipped)])]

    def notes(self) -> list[str]:
        notes = []
        if self.missing:
            shards = counted(len(self.missing), "shard")
            notes.append(f"{shards} without a valid result: {first_of(self.missing.values())}")
        return notes + ([left_out_note(self.left_out)] if self.left_out else [])


def save_shard(path: str, rows: Rows, header: Header, about: Mapping[str, Any]) -> None:
    """Write a scored shard's file whole or not at all; ``about``: the fields of ``ShardResult`` from ``shard`` on."""
    import pyarrow
    from pyarrow import parquet

    constants = header.constants
    table = pyarrow.Table.from_pylist([row.as_dict(header.columns) | constants for row, _ in rows], header.schema)
    scores = {column: table[column].drop_null().to_pylist() for column in header.columns}
    failures = Counter(str(row.kind) for row, _ in rows if row.kind)
    counts = Counts(len(rows), failures, {column: sample_of([(1.0, values)]) for column, values in scores.items()})
    for name in dict.fromkeys(name for _, kept in rows for name in kept):
        values = _array([kept.get(name) for _, kept in rows])
        free = f"kept_{name}" if name in table.column_names else name
        table = table.add_column(table.num_columns - len(CONSTANT_COLUMNS), free, values)
    record = {"columns": header.columns, "provenance": dict(header.provenance), "about": about, "counts": vars(counts)}
    record["check"] = _check(record, table.schema)
    attrs = {**header.provenance, "shard": about["shard"]}
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
        images, failures, samples = record["counts"].values()
        counts = Counts(
            images, Counter(failures), {column: (each, values) for column, (each, values) in samples.items()}
        )
        header = Header(tuple(record["columns"]), record["provenance"])
        return ShardResult(path, header, schema.remove_metadata(), counts, **record["about"])
    except (LookupError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path!r} is not the result of a shard that clipiqa score wrote, or it is damaged ({error}): remove it, "
            "or use another output folder."
        ) from error


def read_table(path: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
    with opened_table(path, page_checksum_verification=True) as table:
        return table.read(columns=columns)


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


def results_in(folder: str) -> set[str]:
    files = (file for file in files_below(folder, []) if file.endswith(".parquet"))
    return {file[len(folder) :].replace(os.sep, "/").lstrip("/") for file in files}


def left_out_note(files: Collection[str]) -> str:
    return f"left out, as they belong to no shard of this run: {first_of(map(repr, sorted(files)))}"


def summary_of(out: str | Path, *, partial: bool = True) -> ShardedResult:
    """Return a summary of a folder's results. Raises ``ResultsError`` if shards have no result, unless ``partial``."""
    folder = address_of(out)
    run = read_run(folder)
    if run is None:
        raise ResultsError(f"{str(out)!r} holds no results by shard: name the folder that clipiqa score wrote.")
    there, results, missing = results_in(folder), list[ShardResult](), dict[str, str]()
    totals, counts, wanted = list[Counts](), list[Counts](), made(run.header)
    for name, (shard, stamp) in run.shards.items():
        try:
            if name not in there:
                raise ResultsError(f"{shard!r} is not scored")
            result = read_shard_result(f"{folder.rstrip('/')}/{name}")
            if result.shard != shard or made(result.header) != wanted:
                raise ResultsError(f"the result of {shard!r} is from an earlier run")
            if stamp not in (None, result.stamp):
                raise ResultsError(f"{shard!r} has changed since it was scored")
        except ResultsError as error:
            missing[shard] = str(error)
            continue
        counts.append(result.counts)
        header = results[0].header if results else result.header
        results.append(replace(result, header=header, counts=Counts(result.counts.images)))  # needs less memory
        if len(counts) == _TOGETHER:
            totals, counts = [*totals, Counts.total(counts)], []
    if missing and not partial:
        raise ResultsError(
            f"{str(out)!r} is not finished: {len(missing):,} of {counted(len(run.shards), 'shard')} have no valid "
            f"result ({first_of(missing.values())}): score the rest, or set `partial` to take what is there."
        )
    total = Counts.total([*totals, *counts, Counts(samples=dict.fromkeys(run.header.columns, (1.0, [])))])
    return ShardedResult(
        results[0].header if results else run.header, results, missing, sorted(there - run.shards.keys()), total
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

    address = address_of(out)
    target = Path(path or f"{address.rstrip('/')}.parquet").absolute()
    format = format_of(target)
    if target.is_relative_to(Path(address).absolute()):
        raise ResultsError(f"{str(target)!r} lies in the folder of the results: name a file outside of {str(out)!r}.")
    target = check_output(target, overwrite=overwrite)
    found = summary_of(out, partial=partial)
    try:
        schemas = [each.schema for each in found.results] or [found.header.schema]
        schema = pyarrow.unify_schemas(schemas, promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise ResultsError(f"the shards' columns hold different types: {reason(error)}.") from error
    schema = schema.with_metadata(found.header.schema.metadata)
    tables = ([schema.empty_table(), read_table(each.path)] for each in found.results)
    with replacing(target) as unfinished:
        whole = (pyarrow.concat_tables(pair, promote_options="permissive") for pair in tables)  # missing cells are null
        write_tables(unfinished, format, schema, whole)
    return found
