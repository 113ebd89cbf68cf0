"""Rows of results, and the header that they share."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import Kind, OutputError
from ..files.names import csv_line, printable
from ..prompts.provenance import in_short
from .scale import SCALE, differences, scale_text

if TYPE_CHECKING:
    import pandas
    import pyarrow

NUMBERS = ("width", "height", "scored_width", "scored_height", "exif_orientation")
FIELDS = (*NUMBERS, "converted", "flag", "kind", "error")
"""The columns between the scores and ``ENDS``; each is an attribute of ``Row``."""
METRIC = "metric"
ENDS = (SCALE, METRIC)
"""The last two columns, equal in every row: the meaning of the scores, and the CLIP-IQA that made the scores."""
PARQUET_KEY = b"clipiqa_pyiqa"
"""A key in a Parquet file's metadata; its value holds columns and provenance as JSON."""


class ResultsError(OutputError):
    """A result file that cannot be written, read or continued."""


@dataclass(frozen=True)
class Row:
    r"""The result of one image: a row of a result file.

    Attributes:
        path: The file, as given; a byte that is not UTF-8 becomes ``\\xNN``.
        scores: One score per column; None if the image could not be scored.
        width, height: The image's size in pixels, upright, before shrinking.
        scored_width, scored_height: The size of the scored image in pixels.
        exif_orientation: The orientation in the file's EXIF data, 1 to 8.
        converted: How the file became 8-bit RGB, such as ``'grey->rgb'``.
        flag: ``'almost uniform'`` if the image has almost no structure.
        kind, error: Why scores are missing: ``kind`` for code, ``error`` for people.
    """

    path: str
    scores: tuple[float, ...] | None = None
    width: int | None = None
    height: int | None = None
    scored_width: int | None = None
    scored_height: int | None = None
    exif_orientation: int | None = None
    converted: str = ""
    flag: str = ""
    kind: Kind | None = None
    error: str = ""

    def __post_init__(self) -> None:
        for name in ("path", "error"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    def as_dict(self, columns: Sequence[str]) -> dict[str, Any]:
        """Return column -> value, without the columns that are equal in every row (``ENDS``)."""
        scores = self.scores or (None,) * len(columns)
        return {"path": self.path, **dict(zip(columns, scores, strict=True))} | {f: getattr(self, f) for f in FIELDS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], columns: Sequence[str]) -> Row:
        """Return the row for the values of :meth:`as_dict`, which may be texts."""
        fields: dict[str, Any] = {field: values[field] or "" for field in FIELDS}
        fields |= {field: int(fields[field]) if fields[field] else None for field in NUMBERS}
        fields["kind"] = Kind(fields["kind"]) if fields["kind"] else None
        scores = None if fields["kind"] else tuple(float(values[column]) for column in columns)
        return cls(values["path"], scores, **fields)


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
        return ["path", *self.columns, *FIELDS, *ENDS]

    @property
    def metric(self) -> str:
        """Return a short name of the CLIP-IQA."""
        return in_short(self.provenance)

    @property
    def ends(self) -> dict[str, str]:
        return {SCALE: scale_text(self.provenance), METRIC: self.metric}

    @property
    def schema(self) -> pyarrow.Schema:
        import pyarrow

        types = dict.fromkeys(self.names, pyarrow.string()) | dict.fromkeys(self.columns, pyarrow.float64())
        provenance = dict(self.provenance)
        record = {"columns": self.columns, "provenance": provenance}
        metadata = {PARQUET_KEY: json.dumps(record), b"PANDAS_ATTRS": json.dumps(provenance)}
        return pyarrow.schema(types | dict.fromkeys(NUMBERS, pyarrow.int32()), metadata)


def header_changes(before: Header, now: Header, but: Collection[str] = ()) -> str:
    """Return the fields that differ between two headers, as part of a sentence."""
    old, new = ({**header.provenance, "columns": ", ".join(header.columns)} for header in (before, now))
    return "; ".join(f"{key} was {was} and is now {is_now}" for key, was, is_now in differences(old, new, but))


def frame_csv(frame: pandas.DataFrame) -> str:
    """Return a frame as CSV; an index with a name is the first column."""
    is_named = frame.index.name is not None
    names = [*([frame.index.name] if is_named else []), *frame.columns]
    cells = frame.astype(object).where(frame.notna(), None).itertuples(index=is_named, name=None)
    return "".join(map(csv_line, [names, *cells]))
