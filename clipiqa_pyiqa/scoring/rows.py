"""Rows of results: what one image came to, which columns say it, and what all rows of a file have in common."""

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
"""Columns of whole numbers; empty where the image could not be read."""
FIELDS = (*NUMBERS, "converted", "flag", "kind", "error")
"""Columns between the scores and the ends, as the attributes of ``Row``."""
METRIC = "metric"
ENDS = (SCALE, METRIC)
"""The last columns, the same in every row: what the scores mean, and which CLIP-IQA made them, in short."""
PARQUET_KEY = b"clipiqa_pyiqa"
"""Where the metadata of a Parquet file says ``columns`` and ``provenance`` as JSON."""


class ResultsError(OutputError):
    """A result file that cannot be written, read or continued."""


@dataclass(frozen=True)
class Row:
    """What one image file came to.

    Attributes:
        path: The file, as given; bytes that are not UTF-8 are written as ``\\xNN``.
        scores: One score per column, or None if the file could not be scored.
        width: Width before any resizing, after orientation, in pixels; None if the file could not be read.
        height: Height, likewise.
        scored_width: Width as scored, in pixels.
        scored_height: Height, likewise.
        exif_orientation: The EXIF orientation in the file, 1 to 8.
        converted: How the file became 8-bit RGB, such as ``'grey->rgb'``; empty for a plain 8-bit RGB file.
        flag: ``'almost uniform'`` if there is nothing in the image to judge; else empty.
        kind: Why there are no scores, for code; None if there are.
        error: Likewise, as a sentence; empty if there are.
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
        object.__setattr__(self, "path", printable(self.path))

    def as_dict(self, columns: Sequence[str]) -> dict[str, Any]:
        """Return column -> value, in the order of the files' columns but for the ends."""
        scores = self.scores or (None,) * len(columns)
        return {"path": self.path, **dict(zip(columns, scores, strict=True))} | {f: getattr(self, f) for f in FIELDS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], columns: Sequence[str]) -> Row:
        """Return the row of such a dictionary, in which values may be texts."""
        fields: dict[str, Any] = {field: values[field] or "" for field in FIELDS}
        fields |= {field: int(fields[field]) if fields[field] else None for field in NUMBERS}
        fields["kind"] = Kind(fields["kind"]) if fields["kind"] else None
        scores = None if fields["kind"] else tuple(float(values[column]) for column in columns)
        return cls(values["path"], scores, **fields)


@dataclass(frozen=True)
class Header:
    """What all rows of a result file have in common.

    Attributes:
        columns: Names of the score columns.
        provenance: Which CLIP-IQA, which options and which versions made the scores, as JSON values; see
            :mod:`clipiqa_pyiqa.prompts.provenance`.
    """

    columns: tuple[str, ...]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        # As it will be read again, with lists for tuples.
        object.__setattr__(self, "provenance", json.loads(json.dumps(self.provenance)))
        names = self.names
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise ResultsError(f"no score can be called {doubled!r}: it is the name of another column.")

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return ["path", *self.columns, *FIELDS, *ENDS]

    @property
    def metric(self) -> str:
        """Which CLIP-IQA in short: backbone, weights with their hash, prompts (or their hash) and version."""
        return in_short(self.provenance)

    @property
    def ends(self) -> dict[str, str]:
        """The cells that all rows share, by column."""
        return {SCALE: scale_text(self.provenance), METRIC: self.metric}

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns of a Parquet file."""
        import pyarrow

        text = pyarrow.string()
        types = {name: text for name in self.names} | dict.fromkeys(self.columns, pyarrow.float64())
        return pyarrow.schema(types | dict.fromkeys(NUMBERS, pyarrow.int32()))


def header_changes(before: Header, now: Header, but: Collection[str] = ()) -> str:
    """Return in which fields two headers differ, as a clause; empty if they do not."""
    old, new = ({**header.provenance, "columns": ", ".join(header.columns)} for header in (before, now))
    return "; ".join(f"{key} was {was} and is now {is_now}" for key, was, is_now in differences(old, new, but))


def frame_csv(frame: pandas.DataFrame) -> str:
    """Return a frame as CSV, with its index if that has a name; NaN is left empty, as pandas leaves it."""
    cells = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    if frame.index.name is None:
        return "".join(map(csv_line, [frame.columns, *cells]))
    named = ((name, *row) for name, row in zip(frame.index.tolist(), cells, strict=True))
    return "".join(map(csv_line, [(frame.index.name, *frame.columns), *named]))
