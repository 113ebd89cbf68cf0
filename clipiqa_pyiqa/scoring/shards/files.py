"""The Parquet file of one scored shard: its rows, and in its metadata which CLIP-IQA, how many and what failed.

It is a result file like any other (``read_results`` reads it), with the columns that were kept, and counts.
"""

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
from ..rows import ENDS, FIELDS, NUMBERS, PARQUET_KEY, Header, ResultsError, Row

if TYPE_CHECKING:
    import pyarrow

BINS = 1000  # of the histogram of each column


@dataclass(frozen=True)
class Counts:
    """How many images there are, and what they came to.

    Attributes:
        images: Rows.
        failures: :class:`~clipiqa_pyiqa.errors.Kind` of failure -> rows.
        skipped: Suffix -> photos in formats that are not read; they have no rows.
        histograms: Column -> how many scores are in each of ``BINS`` equal parts of ``range``.
        range: The lowest and the highest score.
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
        return Counts(self.images + other.images, failures, skipped, {**self.histograms, **sums}, other.range)


@dataclass(frozen=True)
class ShardResult:
    """What a finished shard's file says of itself.

    Attributes:
        path: Path or address of the file.
        header: Names of the score columns, and which CLIP-IQA made them.
        shard: Name of the shard that was scored.
        kind: ``'tar'``, ``'parquet'``, ``'embeddings'``, ``'files'``, or ``'own'``.
        of: How many shards the run had, in all its parts.
        names: A hash of the files' names, of a numbered shard of files; else empty.
        counts: How many images it had, and what they came to.
    """

    path: str
    header: Header
    shard: str
    kind: str
    of: int
    names: str
    counts: Counts


class ShardRows:
    """The rows of one shard, column by column.

    Args:
        columns: Names of the scores.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._scores = tuple(columns)
        self._columns: dict[str, list[Any]] = {name: [] for name in ("path", *columns, *FIELDS)}
        self._kept: dict[str, list[Any]] = {}
        self.skipped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._columns["path"])

    def add(self, row: Row, kept: Mapping[str, Any]) -> None:
        """Add a row, with what is kept beside its scores."""
        for name in kept:
            self._kept.setdefault(name, [None] * len(self))
        for name, values in self._kept.items():
            values.append(kept.get(name))
        for name, value in row.as_dict(self._scores).items():
            self._columns[name].append(value)

    def counts(self, range: tuple[float, float]) -> Counts:
        """Count the rows, with histograms over the range of scores."""
        scores = {name: np.array(self._columns[name], float) for name in self._scores}
        histograms = {
            name: np.histogram(np.clip(values[~np.isnan(values)], *range), BINS, range)[0].tolist()
            for name, values in scores.items()
        }
        failures = Counter(str(kind) for kind in self._columns["kind"] if kind)
        return Counts(len(self), failures, self.skipped, histograms, range)

    def table(self, ends: Mapping[str, str]) -> pyarrow.Table:
        """Return the columns, those that are kept before the last ones; one named like ours begins with ``kept_``."""
        import pyarrow

        types = dict.fromkeys(self._scores, pyarrow.float64()) | dict.fromkeys(NUMBERS, pyarrow.int32())
        columns = {
            name: pyarrow.array(values, types.get(name, pyarrow.string())) for name, values in self._columns.items()
        }
        for name, values in self._kept.items():
            taken = name in columns or name in ENDS
            columns[f"kept_{name}" if taken else name] = _array(values)
        return pyarrow.table({**columns, **{name: [text] * len(self) for name, text in ends.items()}})


def save_shard(
    path: str,
    rows: ShardRows,
    header: Header,
    range: tuple[float, float],
    about: Mapping[str, Any],
) -> Counts:
    """Write the file of a shard, whole or not at all, and return its counts.

    Args:
        path: Path or address.
        rows: Its rows.
        header: What they have in common.
        range: The lowest and the highest score.
        about: ``shard``, ``kind``, ``of`` and ``names`` of :class:`ShardResult`.
    """
    from pyarrow import parquet

    counts = rows.counts(range)
    table = rows.table(header.ends)
    said = {"columns": header.columns, "provenance": dict(header.provenance), "about": about, "counts": vars(counts)}
    said["schema"] = str(table.schema)
    attrs = {**header.provenance, "shard": about["shard"], **vars(counts)}
    attrs |= {"scored": counts.scored, "failed": counts.failed}
    del attrs["histograms"]
    metadata = {PARQUET_KEY: json.dumps({**said, "check": _check(said)}), b"PANDAS_ATTRS": json.dumps(attrs)}
    file, table = io.BytesIO(), table.replace_schema_metadata(metadata)
    parquet.write_table(table, file, row_group_size=50_000, write_page_checksum=True)
    write_whole(path, file.getvalue())
    return counts


def read_shard_result(path: str) -> ShardResult:
    """Return what the file of a finished shard says of itself, without reading its rows.

    Raises:
        ResultsError: It is not such a file.
    """
    try:
        with opened_table(path) as table:
            schema = table.schema_arrow
            said = json.loads((schema.metadata or {})[PARQUET_KEY])
        if said.pop("check") != _check(said) or said["schema"] != str(schema.remove_metadata()):
            raise ValueError("its metadata is not what was written")
        counts = {**said["counts"], "range": tuple(said["counts"]["range"])}
        counts |= {name: Counter(counts[name]) for name in ("failures", "skipped")}
        header = Header(tuple(said["columns"]), said["provenance"])
        return ShardResult(path, header, **said["about"], counts=Counts(**counts))
    except (LookupError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path!r} is not the result of a shard that clipiqa score wrote, or it is damaged ({error}): remove it, "
            "or use another output folder."
        ) from error


def read_table(path: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """Return the rows of a finished shard's file, whose pages have checksums.

    Raises:
        ResultsError: It is damaged.
    """
    try:
        with opened_table(path, page_checksum_verification=True) as table:
            return table.read(columns=columns)
    except ShardError as error:
        raise ResultsError(f"{path!r} {error.reason}: remove it, and score its shard again.") from error


def _check(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _array(values: list[Any]) -> pyarrow.Array:
    """Kept values as a column, as JSON texts unless they are numbers or texts of one kind."""
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
