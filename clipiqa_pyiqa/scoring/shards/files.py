"""The Parquet file of one scored shard: its rows, and in its metadata which CLIP-IQA, how many and what failed.

It is a result file like any other (``read_results`` reads it), with the columns that were kept, and counts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...files.writing import replacing
from ..rows import ENDS, FIELDS, PARQUET_KEY, Header, ResultsError, Row

if TYPE_CHECKING:
    import pyarrow

BINS = 1000  # of the histogram of each column
_TOGETHER = 5000  # rows that become a table at once


@dataclass(frozen=True)
class Counts:
    """How many, and what they came to.

    Attributes:
        images: Rows.
        failed: Rows with an error.
        failures: :class:`~clipiqa_pyiqa.errors.Kind` of failure -> rows.
        skipped: Suffix -> photos in formats that are not read; they have no rows.
        histograms: Column -> how many scores are in each of ``BINS`` equal parts of ``range``.
        range: The lowest and the highest score.
    """

    images: int = 0
    failed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    histograms: Mapping[str, np.ndarray[Any, np.dtype[np.int64]]] = field(default_factory=dict)
    range: tuple[float, float] = (0.0, 1.0)

    @property
    def scored(self) -> int:
        return self.images - self.failed

    def __add__(self, other: Counts) -> Counts:
        histograms = dict(self.histograms)
        for column, histogram in other.histograms.items():
            histograms[column] = histograms.get(column, 0) + histogram
        return Counts(
            self.images + other.images, self.failed + other.failed, self.failures + other.failures,
            self.skipped + other.skipped, histograms, other.range,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        return {
            "images": self.images, "scored": self.scored, "failed": self.failed, "failures": dict(self.failures),
            "skipped": dict(self.skipped), "range": list(self.range),
            "histograms": {column: histogram.tolist() for column, histogram in self.histograms.items()},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Counts:
        """The inverse of ``as_dict``."""
        histograms = {column: np.asarray(values, np.int64) for column, values in said["histograms"].items()}
        low, high = said["range"]
        return cls(
            said["images"], said["failed"], Counter(said["failures"]), Counter(said["skipped"]), histograms, (low, high)
        )


@dataclass(frozen=True)
class ShardResult:
    """What a finished shard's file says of itself.

    Attributes:
        path: The file.
        header: Names of the score columns, and which CLIP-IQA made them.
        shard: Name of the shard that was scored.
        kind: ``'tar'``, ``'parquet'``, ``'embeddings'``, ``'files'``, or that of a shard of one's own.
        of: How many shards the run had, in all its parts.
        names: A hash of the files' names, of a numbered shard of files; else empty.
        counts: How many images it had, and what they came to.
    """

    path: Path
    header: Header
    shard: str
    kind: str
    of: int
    names: str
    counts: Counts


def read_shard_result(path: Path) -> ShardResult:
    """What the file of a finished shard says of itself; its rows are not read.

    Raises:
        ResultsError: It is no such file.
    """
    from pyarrow import ArrowException, parquet

    try:
        schema = parquet.read_schema(path)
        said = json.loads((schema.metadata or {})[PARQUET_KEY])
        if said.get("check", check := _check(said)) != check or not {"path", *said["columns"]} <= set(schema.names):
            raise ValueError("what it says of itself is not what was written")
        about = said["shard"]
        header = Header(tuple(said["columns"]), said["provenance"])
        counts = Counts.from_dict(said["counts"])
        return ShardResult(path, header, about["name"], about["kind"], about["of"], about["names"], counts)
    except (ArrowException, OSError, LookupError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{str(path)!r} is not the result of a shard that clipiqa score wrote, or it is damaged ({error}): remove "
            "it, or use another --out."
        ) from error


def read_table(path: Path, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """The rows of the file of a finished shard, each page of which has a checksum.

    Raises:
        ResultsError: It is damaged.
    """
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(columns=columns)
    except (ArrowException, OSError, ValueError) as error:
        raise ResultsError(
            f"{str(path)!r} is damaged ({' '.join(str(error).split())[:200]}): remove it, and score its shard again."
        ) from error


def _check(said: Mapping[str, Any]) -> str:
    """A checksum of what the file of a shard says of itself."""
    rest = {key: value for key, value in said.items() if key != "check"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


class ShardRows:
    """The rows of one shard as they come, until they are written.

    Args:
        header: What they have in common.
        range: The lowest and the highest score.
    """

    def __init__(self, header: Header, range: tuple[float, float] = (0.0, 1.0)) -> None:
        self._header, self._range = header, range
        self._rows: list[dict[str, Any]] = []
        self._kept: list[Mapping[str, Any]] = []
        self._tables: list[pyarrow.Table] = []
        self._errors: Counter[str] = Counter()
        self._histograms = {column: np.zeros(BINS, np.int64) for column in header.columns}
        self._ends = header.ends
        self.count = 0

    def add(self, row: Row, kept: Mapping[str, Any]) -> None:
        """One more row, with what is kept beside its scores."""
        self.count += 1
        self._rows.append(row.as_dict(self._header.columns) | self._ends)
        self._kept.append(kept)
        if row.kind is not None:
            self._errors[row.kind] += 1
        if len(self._rows) >= _TOGETHER:
            self._flush()

    def save(self, path: Path, shard: str, kind: str, of: int, names: str, skipped: Counter[str]) -> Counts:
        """Write the file, whole or not at all; the arguments are those of :class:`ShardResult`."""
        import pyarrow
        from pyarrow import parquet

        self._flush()
        counts = Counts(self.count, self._errors.total(), self._errors, Counter(skipped), self._histograms, self._range)
        provenance = dict(self._header.provenance)
        about = {"name": shard, "kind": kind, "of": of, "names": names}
        said = {
            "columns": self._header.columns, "provenance": provenance, "shard": about, "counts": counts.as_dict(),
        }  # fmt: skip
        said |= {"check": _check(json.loads(json.dumps(said)))}
        told = {key: value for key, value in counts.as_dict().items() if key != "histograms"}
        attrs = {**provenance, "shard": shard, **told}
        table = concatenated(self._tables) if self._tables else pyarrow.Table.from_pylist([], self._header.schema)
        metadata = {PARQUET_KEY: json.dumps(said), b"PANDAS_ATTRS": json.dumps(attrs)}
        with replacing(path) as partial:
            parquet.write_table(
                table.replace_schema_metadata(metadata), partial, row_group_size=50_000, write_page_checksum=True
            )
        return counts

    def _flush(self) -> None:
        import pyarrow

        if not self._rows:
            return
        table = pyarrow.Table.from_pylist(self._rows, self._header.schema)
        names = list(dict.fromkeys(name for kept in self._kept for name in kept))
        place = table.num_columns - len(ENDS)
        for name in names:
            values = _array([kept.get(name) for kept in self._kept])
            table, place = table.add_column(place, self._name(name), values), place + 1
        for column, histogram in self._histograms.items():
            scores = table[column].drop_null().to_numpy()
            low, high = self._range
            bins = np.clip((scores - low) / (high - low) * BINS, 0, BINS - 1).astype(np.int64)
            histogram += np.bincount(bins, minlength=BINS)
        self._tables.append(table)
        self._rows, self._kept = [], []

    def _name(self, kept: str) -> str:
        taken = {"path", *self._header.columns, *FIELDS, *ENDS}
        return f"kept_{kept}" if kept in taken else kept


def concatenated(tables: Sequence[pyarrow.Table]) -> pyarrow.Table:
    """Tables as one; a kept column whose types do not go together becomes text."""
    import pyarrow

    try:
        return pyarrow.concat_tables(tables, promote_options="permissive")
    except pyarrow.ArrowException:
        schema = common_schema([table.schema for table in tables])
        return pyarrow.concat_tables([cast(table, schema) for table in tables])


def common_schema(schemas: Sequence[pyarrow.Schema]) -> pyarrow.Schema:
    """The columns of all, each of a type that all its values can have, which is text if there is no other."""
    import pyarrow

    kinds: dict[str, pyarrow.DataType] = {}
    for schema in schemas:
        for column in schema:
            if column.name in kinds and kinds[column.name] != column.type:
                one, other = (pyarrow.schema({column.name: kind}) for kind in (kinds[column.name], column.type))
                try:
                    kinds[column.name] = pyarrow.unify_schemas([one, other], promote_options="permissive")[0].type
                except pyarrow.ArrowException:
                    kinds[column.name] = pyarrow.string()
            else:
                kinds.setdefault(column.name, column.type)
    order = [name for name in kinds if name not in ENDS] + [name for name in ENDS if name in kinds]
    return pyarrow.schema({name: kinds[name] for name in order})


def cast(table: pyarrow.Table, schema: pyarrow.Schema) -> pyarrow.Table:
    """A table with the columns of a schema that :func:`common_schema` made; what it has not is null."""
    import pyarrow

    columns = []
    for column in schema:
        if column.name not in table.schema.names:
            columns.append(pyarrow.nulls(table.num_rows, column.type))
        elif column.type == pyarrow.string() and table[column.name].type != column.type:
            columns.append(pyarrow.array(list(map(_text, table[column.name].to_pylist())), pyarrow.string()))
        else:
            columns.append(table[column.name].cast(column.type))
    return pyarrow.Table.from_arrays(columns, schema=schema)


def _array(values: list[Any]) -> pyarrow.Array:
    import pyarrow

    if not any(isinstance(value, dict | list) for value in values):
        try:
            return pyarrow.array(values)
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):
            pass
    return pyarrow.array(list(map(_text, values)), pyarrow.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
