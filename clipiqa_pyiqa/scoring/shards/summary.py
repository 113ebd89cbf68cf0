"""Results by shard: the Parquet files, a summary of their folder, and one merged file."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import counted
from ...errors.arguments import checked
from ...files.names import csv_line
from ...files.writing import check_output, replacing
from ...images.formats import skipped_note
from ...sources.members import ShardError
from ...sources.parquet import opened_table
from ...sources.stores import address_of, files_below, is_remote, write_whole
from ..layouts import json_line
from ..rows import ENDS, PARQUET_KEY, Header, ResultsError, Row, header_changes

if TYPE_CHECKING:
    import pandas
    import pyarrow

SHOWN = 10  # the most shards without a result that a summary lists
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
    skipped: Counter[str] = field(default_factory=Counter)
    histograms: Mapping[str, Sequence[int]] = field(default_factory=dict)
    range: tuple[float, float] = (0.0, 1.0)

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def scored(self) -> int:
        return self.images - self.failed

    def __add__(self, other: Counts) -> Counts:
        sums = {
            column: np.add(self.histograms.get(column, 0), histogram).tolist()
            for column, histogram in other.histograms.items()
        }
        failures, skipped = self.failures + other.failures, self.skipped + other.skipped
        return Counts(self.images + other.images, failures, skipped, sums, other.range)


@dataclass(frozen=True)
class ShardResult:
    """The metadata of a shard's result; ``of`` counts all shards, ``names`` is a hash of the loose files' names."""

    path: str
    header: Header
    shard: str
    kind: str
    of: int
    names: str
    counts: Counts


@dataclass(frozen=True)
class ShardedResult:
    """A summary of results by shard; ``unread`` names unreadable shards, ``elsewhere`` counts shards of another run."""

    header: Header
    shards: int
    of: int
    counts: Counts
    unread: Mapping[str, str] = field(default_factory=dict)
    elsewhere: int = 0

    @property
    def is_whole(self) -> bool:
        return self.shards >= self.of and not self.unread

    def quantiles(self, at: Sequence[float] = QUANTILES) -> pandas.DataFrame:
        """Return quantiles, one row per score column; the error is at most a thousandth of the range."""
        import pandas

        low, high = self.counts.range
        rows = {}
        for column in self.header.columns:
            total = np.cumsum(self._histogram(column))
            places = [np.searchsorted(total, max(1, level * total[-1])) for level in at]
            rows[column] = [low + (place + 0.5) / BINS * (high - low) if total[-1] else np.nan for place in places]
        return pandas.DataFrame.from_dict(rows, orient="index", columns=[f"{100 * level:g} %" for level in at])

    def histogram_line(self, column: str, bars: int = 20) -> str:
        """Return a column's histogram as bar characters."""
        counts = np.reshape(self._histogram(column), (bars, -1)).sum(1)
        heights = np.ceil(counts / max(1, counts.max()) * (len(_BARS) - 1)).astype(int)
        return "".join(_BARS[height] for height in heights)

    def _histogram(self, column: str) -> Sequence[int]:
        return self.counts.histograms.get(column, [0] * BINS)

    def sentences(self) -> list[str]:
        counts = self.counts
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.failures.most_common())
        clauses = [
            f"{self.shards} of {counted(self.of, 'shard')}, {counted(counts.images, 'image')}: "
            f"{counts.scored:,} scored, {counts.failed:,} failed{f' ({kinds})' if kinds else ''}"
        ]
        clauses += [f"no result: {why}" for why in list(self.unread.values())[:SHOWN]]
        if len(self.unread) > SHOWN:
            clauses.append(f"no result: {counted(len(self.unread) - SHOWN, 'more shard')}")
        if self.elsewhere:
            clauses.append(f"being scored by another run: {counted(self.elsewhere, 'shard')}")
        return clauses + ([note] if (note := skipped_note(counts.skipped)) else [])


def save_shard(path: str, rows: Rows, skipped: Counter[str], header: Header, about: Mapping[str, Any]) -> None:
    """Write a scored shard's file in one step; ``about`` holds ``shard``, ``kind``, ``of`` and ``names``."""
    import pyarrow
    from pyarrow import parquet

    ends = header.ends
    table = pyarrow.Table.from_pylist([row.as_dict(header.columns) | ends for row, _ in rows], header.schema)
    bounds = [float(bound) for record in header.provenance["scores"].values() for bound in record["range"]]
    low, high = min(bounds), max(bounds)
    scores = {column: table[column].drop_null().to_numpy().clip(low, high) for column in header.columns}
    histograms = {column: np.histogram(values, BINS, (low, high))[0].tolist() for column, values in scores.items()}
    failures = Counter(str(row.kind) for row, _ in rows if row.kind)
    counts = Counts(len(rows), failures, skipped, histograms, (low, high))
    for name in dict.fromkeys(name for _, kept in rows for name in kept):
        values = _array([kept.get(name) for _, kept in rows])
        free = f"kept_{name}" if name in table.column_names else name
        table = table.add_column(table.num_columns - len(ENDS), free, values)
    record = {"columns": header.columns, "provenance": dict(header.provenance), "about": about, "counts": vars(counts)}
    attrs = {**header.provenance, "shard": about["shard"], **vars(counts)}
    attrs |= {"scored": counts.scored, "failed": counts.failed}
    del attrs["histograms"]
    record["check"] = _check(record, table.schema)
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
        counts = {**record["counts"], "range": tuple(record["counts"]["range"])}
        counts |= {name: Counter(counts[name]) for name in ("failures", "skipped")}
        header = Header(tuple(record["columns"]), record["provenance"])
        return ShardResult(path, header, **record["about"], counts=Counts(**counts))
    except (LookupError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path!r} is not the result of a shard that clipiqa score wrote, or it is damaged ({error}): remove it, "
            "or use another output folder."
        ) from error


def read_table(path: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """Return the rows of a scored shard's file. Raises ``ResultsError`` if it is damaged."""
    try:
        with opened_table(path, page_checksum_verification=True) as table:
            return table.read(columns=columns)
    except ShardError as error:
        raise ResultsError(f"{path!r} {error.reason}: remove it, and score its shard again.") from error


def _check(record: Mapping[str, Any], schema: pyarrow.Schema) -> str:
    text = json.dumps(record, sort_keys=True) + str(schema.remove_metadata())
    return hashlib.sha256(text.encode()).hexdigest()


def _array(values: list[Any]) -> pyarrow.Array:
    """Return kept values as a column of one type; mixed types become JSON texts."""
    import pyarrow

    if not any(isinstance(value, dict | list) for value in values):
        try:
            return pyarrow.array(values)
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):
            pass
    texts = (
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for value in values
    )
    return pyarrow.array(list(texts), pyarrow.string())


def results_in(out: str) -> list[str]:
    return [path for path in files_below(out) if path.endswith(".parquet")]


def check_same(found: ShardResult, header: Header) -> None:
    """Raise ``ResultsError`` if a result differs from a header, except in the device."""
    if changes := header_changes(found.header, header, ("device",)):
        raise ResultsError(
            f"{found.path!r} was made with another metric or in another way: {changes}; use the earlier options, "
            "another output folder, or overwrite."
        )


def summary_of(out: str | Path) -> ShardedResult:
    counts, shards, of, header = Counts(), 0, 0, Header((), {})
    for result in shard_results(out):
        counts, shards, of, header = counts + result.counts, shards + 1, max(of, result.of), result.header
    return ShardedResult(header, shards, of, counts)


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
        path: A ``.parquet``, ``.csv`` or ``.jsonl`` file; None means ``OUT.parquet`` beside the folder.
        overwrite: Replace an existing file.

    Returns:
        A summary of the file.

    Raises:
        ResultsError: There are no results, their metrics differ, or the file cannot be written.
    """
    address = address_of(out)
    folder = Path(address.rpartition("/")[2] if is_remote(address) else address).absolute()
    target = folder.with_name(f"{folder.name}.parquet") if path is None else Path(path)
    if target.suffix not in (".parquet", ".csv", ".jsonl"):
        raise ResultsError(f"{str(target)!r} must end with .parquet, .csv or .jsonl.")
    if target.absolute().is_relative_to(folder):
        raise ResultsError(f"{str(target)!r} lies in the folder of the results: name a file outside of {str(out)!r}.")
    target = check_output(target, overwrite=overwrite)
    found = summary_of(out)
    if not found.shards:
        raise ResultsError(f"{str(out)!r} holds no results by shard: name the folder that clipiqa score wrote.")
    paths = results_in(address)
    schema = _common_schema(paths).with_metadata(found.header.schema.metadata)
    with replacing(target) as partial:
        _write(partial, schema, (_with_schema(read_table(each), schema) for each in paths))
    return found


def _common_schema(paths: Iterable[str]) -> pyarrow.Schema:
    """Return the columns of all files; a column becomes text if its types differ."""
    import pyarrow

    types: dict[str, list[pyarrow.DataType]] = {}
    for path in paths:
        with opened_table(path) as table:
            for field in table.schema_arrow:
                types.setdefault(field.name, []).append(field.type)

    def common(kinds: Iterable[pyarrow.DataType]) -> pyarrow.DataType:
        schemas = [pyarrow.schema({"": kind}) for kind in kinds]
        try:
            return pyarrow.unify_schemas(schemas, promote_options="permissive").types[0]
        except pyarrow.ArrowException:
            return pyarrow.string()

    return pyarrow.schema({name: common(types[name]) for name in [*(n for n in types if n not in ENDS), *ENDS]})


def _with_schema(table: pyarrow.Table, schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow

    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pyarrow.nulls(len(table), field.type)
        for field in schema
    ]
    return pyarrow.Table.from_arrays(columns, schema=schema)


def _write(path: Path, schema: pyarrow.Schema, tables: Iterator[pyarrow.Table]) -> None:
    from pyarrow import parquet

    if path.suffix == ".parquet":
        with parquet.ParquetWriter(path, schema) as writer:
            for table in tables:
                writer.write_table(table)
        return
    with open(path, "w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            file.write(csv_line(schema.names))
        for table in tables:
            for row in table.to_pylist():
                file.write(csv_line(row.values()) if path.suffix == ".csv" else json_line(row))
