"""Rows of results, the header that they share, and their layouts in files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Kind, OutputError
from ..files.names import csv_line, printable
from ..prompts.provenance import metric_line
from .scale import SCALE, differences, scale_text

if TYPE_CHECKING:
    import pyarrow

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
        for name in ("path", "error"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    def as_dict(self, columns: Sequence[str]) -> dict[str, Any]:
        """Return column -> value, without the columns that are equal in every row (``CONSTANT_COLUMNS``)."""
        scores = self.scores or (None,) * len(columns)
        return {"path": self.path, **dict(zip(columns, scores, strict=True))} | {f: getattr(self, f) for f in FIELDS}

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
    def metric(self) -> str:
        """Return a short name of the CLIP-IQA."""
        return metric_line(self.provenance)

    @property
    def constants(self) -> dict[str, str]:
        return {SCALE: scale_text(self.provenance), METRIC: self.metric}

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
