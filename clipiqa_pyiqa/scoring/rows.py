"""Rows of results, the header and the scales that they share, and their layouts in files."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Kind, OutputError
from ..files.names import csv_line, printable
from ..prompts.provenance import metric_line, value_text

if TYPE_CHECKING:
    import pyarrow

SCALE = "scale"
_NOT_OF_SCORES = ("version", "versions", "device", "weights", "keep", "image_column")
"""Fields of provenance that may differ between comparable runs; the hash of the weights is compared instead."""


@dataclass(frozen=True)
class Scale:
    """The meaning of a column's values: their range (None: open), the good end, and a hash of how they were made."""

    low: float | None
    high: float | None
    lower_better: bool
    made: str


def scales_of(provenance: Mapping[str, Any]) -> dict[str, Scale]:
    found = {}
    for name, record in provenance.get("scores", {}).items():
        low, high = record["range"]
        found[name] = Scale(low, high, record["lower_better"], fingerprint(comparable_fields(provenance, [name]))[:8])
    return found


def fingerprint(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(_fields(record), sort_keys=True).encode()).hexdigest()[:16]


def _fields(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _NOT_OF_SCORES}


def scale_text(provenance: Mapping[str, Any]) -> str:
    """Return the cell of the column ``scale``, such as ``{"quality":[0,1,"higher","3f2a9c01"]}``."""
    scales = {}
    for name, scale in scales_of(provenance).items():
        ends = [int(end) if end is not None and float(end).is_integer() else end for end in (scale.low, scale.high)]
        scales[name] = [*ends, "lower" if scale.lower_better else "higher", scale.made]
    return json.dumps(scales, ensure_ascii=False, separators=(",", ":")) if scales else ""


def read_scales(cells: Iterable[Any]) -> dict[str, Scale]:
    """Return the scales in the cells of :func:`scale_text`. Raises ``ValueError`` if they differ."""
    found: dict[str, Scale] = {}
    for cell in dict.fromkeys(cell for cell in cells if isinstance(cell, str)):
        try:
            record = json.loads(cell)
            scales = {
                name: Scale(_number(low), _number(high), better == "lower", str(made))
                for name, (low, high, better, made) in record.items()
            }
        except (ValueError, TypeError, AttributeError):
            continue
        for name in scales:
            if found.get(name, scales[name]) != scales[name]:
                raise ValueError(f"rows of {name!r} were scored in different ways")
        found |= scales
    return found


def _number(end: Any) -> float | None:
    return None if end is None else float(end)


def comparable_fields(provenance: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the fields that must be equal for a comparison of scores."""
    scores = {name: _hashed(record) for name, record in provenance["scores"].items() if name in names}
    return {**_fields(provenance), "scores": scores}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the fields that change scores and differ between two provenances, with both values as texts."""
    shared = [name for name in one.get("scores", {}) if name in other.get("scores", {})]

    def fields(provenance: Mapping[str, Any]) -> dict[str, Any]:
        left_out = ("version", "versions", "device", "scores")
        found = {key: value for key, value in provenance.items() if key not in left_out}
        for name in shared:
            record = _hashed(provenance["scores"][name])
            found |= {f"{name!r} {key}": value for key, value in record.items()}
        return found

    was, now = fields(one), fields(other)
    changed = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    return [(key, value_text(was.get(key)), value_text(now.get(key))) for key in changed]


def _hashed(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value["sha256"] if isinstance(value, dict) else value for key, value in _fields(record).items()}


NUMBERS = ("width", "height", "scored_width", "scored_height", "exif_orientation")
FIELDS = (*NUMBERS, "converted", "flag", "kind", "error", "stamp")
"""The columns between the scores and ``CONSTANT_COLUMNS``; each is an attribute of ``Row``."""
METRIC = "metric"
CONSTANT_COLUMNS = (SCALE, METRIC)
"""The last two columns, equal in every row: the meaning of the scores, and the CLIP-IQA that made the scores."""
PARQUET_KEY = b"clipiqa_pyiqa"
"""A key in a Parquet file's metadata; its value holds columns and provenance as JSON."""


class ResultsError(OutputError):
    """A result file that cannot be written, read or continued."""


class Answer(NamedTuple):
    """The scores of one metric for one image, or None with a reason; ``seconds`` is the time of scoring."""

    values: tuple[float, ...] | None = None
    seconds: float = math.nan
    error: str = ""
    kind: Kind | None = None

    @property
    def score(self) -> float | None:
        return self.values[0] if self.values else None


@dataclass(frozen=True)
class Row:
    r"""The result of one image: a row of a result file.

    Attributes:
        path: The file, as given; a byte that is not UTF-8 becomes ``\\xNN``.
        scores: One score per column, or None where a metric failed; None if there is no score at all.
        width, height: The image's size in pixels, upright, before shrinking.
        scored_width, scored_height: The size of the scored image in pixels.
        exif_orientation: The orientation in the file's EXIF data, 1 to 8.
        converted: How the file became 8-bit RGB, such as ``'grey->rgb'``.
        flag: Why the image may be no photo, such as ``'noise'``.
        kind, error: Why scores are missing: ``kind`` for code (of the first failure), ``error`` for people.
        stamp: The state of the image, such as size and time of the file; empty if unknown.
        answers: The answer of each metric; None if it was not asked.
        kept: Values that are kept beside the scores.
    """

    path: str
    scores: tuple[float | None, ...] | None = None
    width: int | None = None
    height: int | None = None
    scored_width: int | None = None
    scored_height: int | None = None
    exif_orientation: int | None = None
    converted: str = ""
    flag: str = ""
    kind: Kind | None = None
    error: str = ""
    stamp: str = ""
    answers: tuple[Answer | None, ...] = field(default=(), compare=False, repr=False)
    kept: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", printable(self.path))
        object.__setattr__(self, "error", printable(self.error))

    def as_dict(self, columns: Sequence[str]) -> dict[str, Any]:
        """Return column -> value, without the columns that are equal in every row (``CONSTANT_COLUMNS``)."""
        scores = self.scores or (None,) * len(columns)
        return {"path": self.path, **dict(zip(columns, scores, strict=True)), **{f: getattr(self, f) for f in FIELDS}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], columns: Sequence[str]) -> Row:
        """Return the row for the values of :meth:`as_dict`, which may be texts."""
        fields: dict[str, Any] = {name: values[name] or "" for name in FIELDS}
        fields |= {name: int(fields[name]) if fields[name] else None for name in NUMBERS}
        fields["kind"] = Kind(fields["kind"]) if fields["kind"] else None
        scores = tuple(None if values[column] in (None, "") else float(values[column]) for column in columns)
        if fields["kind"] is None and None in scores:
            raise ValueError("a score is missing without a reason")
        return cls(values["path"], None if set(scores) <= {None} else scores, **fields)


@dataclass(frozen=True)
class Header:
    """The columns and the provenance of a result file."""

    columns: tuple[str, ...]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        # with lists instead of tuples, to be equal to a header that is read from a file
        object.__setattr__(self, "provenance", json.loads(json.dumps(self.provenance)))
        names = self.names
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise ResultsError(f"a score cannot be called {doubled!r}, because another column has this name.")

    @property
    def names(self) -> list[str]:
        return ["path", *self.columns, *FIELDS, *CONSTANT_COLUMNS]

    @property
    def record(self) -> dict[str, Any]:
        return {"columns": self.columns, "provenance": self.provenance}

    @property
    def constants(self) -> dict[str, str]:
        """Return column -> value of ``CONSTANT_COLUMNS``."""
        return {SCALE: scale_text(self.provenance), METRIC: metric_line(self.provenance)}

    @property
    def schema(self) -> pyarrow.Schema:
        import pyarrow

        types = dict.fromkeys(self.names, pyarrow.string()) | dict.fromkeys(self.columns, pyarrow.float64())
        metadata = {PARQUET_KEY: json.dumps(self.record), b"PANDAS_ATTRS": json.dumps(self.provenance)}
        return pyarrow.schema(types | dict.fromkeys(NUMBERS, pyarrow.int32()), metadata)


def header_changes(before: Header, now: Header) -> str:
    """Return the fields that differ between two headers and on which scores depend, as part of a sentence."""
    old, new = ({**header.provenance, "columns": ", ".join(header.columns)} for header in (before, now))
    return "; ".join(f"{key} was {was} and is now {is_now}" for key, was, is_now in differences(old, new))


def write_tables(path: Path, format: str, schema: pyarrow.Schema, tables: Iterable[pyarrow.Table]) -> None:
    """Write tables, one after the other, to a csv, jsonl or parquet file."""
    if format == "parquet":
        from pyarrow import parquet

        with parquet.ParquetWriter(path, schema, write_page_checksum=True) as writer:
            for table in tables:
                writer.write_table(table)
        return
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(csv_line(schema.names) if format == "csv" else "")
        for table in tables:
            file.writelines(line_of(format, row) for row in table.to_pylist())


def line_of(format: str, cells: Mapping[str, Any]) -> str:
    return csv_line(cells.values()) if format == "csv" else json.dumps(cells, ensure_ascii=False, default=str) + "\n"
