"""Results by shard: the Parquet files, a summary of their folder, and one merged file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import counted
from ...errors.arguments import checked
from ...files.writing import check_output, replacing
from ...images.formats import skipped_note
from ...images.source import reason
from ...sources.folders import files_below
from ...sources.parquet import opened_table
from ...sources.stores import address_of, write_whole
from ..layouts import write_tables
from ..result_files import format_of
from ..rows import ENDS, PARQUET_KEY, Header, ResultsError, Row, header_changes

if TYPE_CHECKING:
    import pandas
    import pyarrow

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_BARS = " ▁▂▃▄▅▆▇█"
BINS = 1000  # of the histogram of each column
Rows = Sequence[tuple[Row, Mapping[str, Any]]]
"""Rows; each row comes with the values that are kept beside its scores."""


@dataclass(frozen=True)
class Counts:
    """Numbers of images; ``histograms`` count each column's scores in ``BINS`` equal parts of ``range``."""

    images: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    histograms: Mapping[str, Sequence[int]] = field(default_factory=dict)
    range: tuple[float, float] = (0.0, 1.0)

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def scored(self) -> int:
        return self.images - self.failed

    def __add__(self, other: Counts) -> Counts:
        sums = {column: np.add(known, other.histograms[column]).tolist() for column, known in self.histograms.items()}
        return Counts(self.images + other.images, self.failures + other.failures, sums, self.range)


@dataclass(frozen=True)
class ShardResult:
    """The metadata of a shard's result; ``of`` counts all shards, ``identity`` tells shards apart."""

    path: str
    header: Header
    schema: pyarrow.Schema
    counts: Counts
    shard: str
    identity: str
    kind: str
    of: int


@dataclass(frozen=True)
class ShardedResult:
    """A summary of results by shard.

    Attributes:
        of: The number of all shards.
        unread: Shard or path without a result -> the reason.
        elsewhere: The number of shards that another run scores.
        skipped: Suffix -> number of photos in unreadable formats.
    """

    header: Header
    shards: int
    of: int
    counts: Counts
    unread: Mapping[str, str] = field(default_factory=dict)
    elsewhere: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return self.shards >= self.of and not self.unread

    def quantiles(self, at: Sequence[float] = QUANTILES) -> pandas.DataFrame:
        """Return quantiles, one row per score column; the error is at most a thousandth of the range."""
        import pandas

        low, high = self.counts.range
        rows = {}
        for column in self.header.columns:
            total = np.cumsum(self.counts.histograms[column])
            places = [np.searchsorted(total, max(1, level * total[-1])) for level in at]
            rows[column] = [low + (place + 0.5) / BINS * (high - low) if total[-1] else np.nan for place in places]
        return pandas.DataFrame.from_dict(rows, orient="index", columns=[f"{100 * level:g} %" for level in at])

    def histogram_line(self, column: str, bars: int = 20) -> str:
        """Return a column's histogram as bar characters."""
        counts = np.reshape(self.counts.histograms[column], (bars, -1)).sum(1)
        heights = np.ceil(counts / max(1, counts.max()) * (len(_BARS) - 1)).astype(int)
        return "".join(_BARS[height] for height in heights)

    def sentences(self) -> list[str]:
        counts = self.counts
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.failures.most_common())
        clauses = [
            f"{self.shards} of {counted(self.of, 'shard')}, {counted(counts.images, 'image')}: "
            f"{counts.scored:,} scored, {counts.failed:,} failed{f' ({kinds})' if kinds else ''}"
        ]
        clauses += [f"no result: {why}" for why in self.unread.values()]
        if self.elsewhere:
            clauses.append(f"being scored by another run: {counted(self.elsewhere, 'shard')}")
        return clauses + ([note] if (note := skipped_note(self.skipped)) else [])


def save_shard(path: str, rows: Rows, header: Header, about: Mapping[str, Any]) -> None:
    """Write a scored shard's file whole or not at all; ``about``: the fields of ``ShardResult`` from ``shard`` on."""
    import pyarrow
    from pyarrow import parquet

    ends = header.ends
    table = pyarrow.Table.from_pylist([row.as_dict(header.columns) | ends for row, _ in rows], header.schema)
    bounds = [float(bound) for record in header.provenance["scores"].values() for bound in record["range"]]
    low, high = min(bounds), max(bounds)
    scores = {column: table[column].drop_null().to_numpy().clip(low, high) for column in header.columns}
    histograms = {column: np.histogram(values, BINS, (low, high))[0].tolist() for column, values in scores.items()}
    failures = Counter(str(row.kind) for row, _ in rows if row.kind)
    counts = Counts(len(rows), failures, histograms, (low, high))
    for name in dict.fromkeys(name for _, kept in rows for name in kept):
        values = _array([kept.get(name) for _, kept in rows])
        free = f"kept_{name}" if name in table.column_names else name
        table = table.add_column(table.num_columns - len(ENDS), free, values)
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
        images, failures, histograms, bounds = record["counts"].values()
        counts = Counts(images, Counter(failures), histograms, tuple(bounds))
        header = Header(tuple(record["columns"]), record["provenance"])
        return ShardResult(path, header, schema.remove_metadata(), counts, **record["about"])
    except (LookupError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path!r} is not the result of a shard that clipiqa score wrote, or it is damaged ({error}): remove it, "
            "or use another output folder."
        ) from error


def read_table(path: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """Return the rows of a scored shard's file. Raises ``ShardError`` if it is damaged."""
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


def results_in(out: str) -> list[str]:
    return sorted(path for path in files_below(out, []) if path.endswith(".parquet"))


def check_same(found: ShardResult, header: Header) -> None:
    """Raise ``ResultsError`` if a result differs from a header, except in the device."""
    if changes := header_changes(found.header, header, ("device",)):
        raise ResultsError(
            f"{found.path!r} was made with another metric or in another way: {changes}; use the earlier options, "
            "another output folder, or `overwrite`."
        )


def summary_of(out: str | Path) -> ShardedResult:
    found = ShardedResult(Header((), {}), 0, 0, Counts())
    for result in shard_results(out):
        counts = found.counts + result.counts if found.shards else result.counts
        found = ShardedResult(result.header, found.shards + 1, max(found.of, result.of), counts)
    return found


def shard_results(out: str | Path) -> Iterator[ShardResult]:
    """Yield a folder's results, sorted by name. Raises ``ResultsError`` if they were made in different ways."""
    first: ShardResult | None = None
    for path in results_in(address_of(out)):
        result = read_shard_result(path)
        first = first or result
        check_same(first, result.header)
        yield result


@checked
def merge_shards(out: str | Path, path: str | Path | None = None, *, overwrite: bool = False) -> ShardedResult:
    """Merge a folder's results by shard into one file, as ``clipiqa score --merge OUT`` does.

    Args:
        out: The folder, on disk or in a store.
        path: A csv, jsonl or parquet file; None means ``OUT.parquet`` beside the folder on disk.
        overwrite: Replace an existing file.

    Returns:
        A summary of the file.

    Raises:
        ResultsError: There are no results, their metrics or columns differ, or the file cannot be written.
    """
    import pyarrow

    address = address_of(out)
    target = Path(path or f"{address.rstrip('/')}.parquet").absolute()
    format = format_of(target)
    if target.is_relative_to(Path(address).absolute()):
        raise ResultsError(f"{str(target)!r} lies in the folder of the results: name a file outside of {str(out)!r}.")
    target = check_output(target, overwrite=overwrite)
    found = summary_of(out)
    if not found.shards:
        raise ResultsError(f"{str(out)!r} holds no results by shard: name the folder that clipiqa score wrote.")
    try:
        schema = pyarrow.unify_schemas([each.schema for each in shard_results(out)], promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise ResultsError(f"the shards' columns hold different types: {reason(error)}.") from error
    schema = schema.with_metadata(found.header.schema.metadata)
    tables = ([schema.empty_table(), read_table(each)] for each in results_in(address))
    with replacing(target) as partial:
        whole = (pyarrow.concat_tables(pair, promote_options="permissive") for pair in tables)  # missing cells are null
        write_tables(partial, format, schema, whole)
    return found
