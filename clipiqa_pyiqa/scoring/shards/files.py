"""The Parquet file of one scored shard: rows, kept columns, and counts in its metadata."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...sources.members import ShardError
from ...sources.parquet import opened_table
from ...sources.stores import write_whole
from ..rows import ENDS, PARQUET_KEY, Header, ResultsError, Row

if TYPE_CHECKING:
    import pyarrow

BINS = 1000  # of the histogram of each column
Rows = Sequence[tuple[Row, Mapping[str, Any]]]
"""Rows, each with the values that are kept beside its scores."""


@dataclass(frozen=True)
class Counts:
    """Numbers of images.

    Attributes:
        images: Rows.
        failures: :class:`~clipiqa_pyiqa.errors.Kind` of failure -> rows.
        skipped: Suffix -> photos in formats that are not read.
        histograms: Column -> scores in each of ``BINS`` equal parts of ``range``.
        range: The lowest and the highest possible score.
    """

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
    """The metadata of a scored shard's file.

    Attributes:
        shard: Name of the shard.
        kind: ``'tar'``, ``'parquet'``, ``'embeddings'``, ``'files'`` or ``'own'``.
        of: Number of shards in all parts.
        names: Hash of the names in a numbered shard of files.
    """

    path: str
    header: Header
    shard: str
    kind: str
    of: int
    names: str
    counts: Counts


def save_shard(path: str, rows: Rows, skipped: Counter[str], header: Header, about: Mapping[str, Any]) -> None:
    """Write the file of a scored shard whole; ``about`` has ``shard``, ``kind``, ``of`` and ``names``."""
    import pyarrow
    from pyarrow import parquet

    ends = header.ends
    table = pyarrow.Table.from_pylist([row.as_dict(header.columns) | ends for row, _ in rows], header.schema)
    low, high = map(float, next(iter(header.provenance["scores"].values()))["range"])
    scores = {column: table[column].drop_null().to_numpy().clip(low, high) for column in header.columns}
    histograms = {column: np.histogram(values, BINS, (low, high))[0].tolist() for column, values in scores.items()}
    failures = Counter(str(row.kind) for row, _ in rows if row.kind)
    counts = Counts(len(rows), failures, skipped, histograms, (low, high))
    for name in dict.fromkeys(name for _, kept in rows for name in kept):
        values = _array([kept.get(name) for _, kept in rows])
        free = f"kept_{name}" if name in table.column_names else name
        table = table.add_column(table.num_columns - len(ENDS), free, values)
    record = {"columns": header.columns, "provenance": dict(header.provenance), "about": about, "counts": vars(counts)}
    record["schema"] = str(table.schema)
    attrs = {**header.provenance, "shard": about["shard"], **vars(counts)}
    attrs |= {"scored": counts.scored, "failed": counts.failed}
    del attrs["histograms"]
    metadata = {PARQUET_KEY: json.dumps({**record, "check": _check(record)}), b"PANDAS_ATTRS": json.dumps(attrs)}
    file, table = io.BytesIO(), table.replace_schema_metadata(metadata)
    parquet.write_table(table, file, row_group_size=50_000, write_page_checksum=True)
    write_whole(path, file.getvalue())


def read_shard_result(path: str) -> ShardResult:
    """Return the metadata of a scored shard's file. Raises ``ResultsError`` for another or a damaged file."""
    try:
        with opened_table(path) as table:
            schema = table.schema_arrow
            record = json.loads((schema.metadata or {})[PARQUET_KEY])
        if record.pop("check") != _check(record) or record["schema"] != str(schema.remove_metadata()):
            raise ValueError("its metadata is not what was written")
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


def _check(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _array(values: list[Any]) -> pyarrow.Array:
    """Return kept values as a column of one type, or else as JSON texts."""
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
