"""Rows of results: the scores of one image, or why they are missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import Kind
from ..files.names import printable

NUMBERS = ("width", "height", "scored_width", "scored_height", "exif_orientation")
FIELDS = (*NUMBERS, "converted", "flag", "kind", "error", "stamp")
"""The columns after the scores; each is an attribute of ``Row``."""
_OF_FILES = (Kind.EMPTY, Kind.NOT_A_FILE, Kind.DAMAGED_ARCHIVE, Kind.OUTSIDE)
OF_THE_IMAGE = (*_OF_FILES, Kind.NOT_AN_IMAGE, Kind.TOO_SMALL, Kind.UNCLEAR_SCALE)
"""Kinds of failures that only the image decides: they are kept as long as the image stays the same."""


class Answer(NamedTuple):
    """The scores of one metric for one image, or None with a reason; ``seconds`` is the time of scoring."""

    values: tuple[float, ...] | None = None
    seconds: float = math.nan
    error: str = ""
    kind: Kind | None = None


def is_final(kind: Kind | None, same_decoders: bool) -> bool:
    """Return whether a failure is kept while the image stays the same; others are tried again."""
    return kind in OF_THE_IMAGE or (kind is Kind.DAMAGED and same_decoders)


def worst_kind(kinds: Sequence[Kind | None]) -> Kind | None:
    """Return the kind of several failures in a row: one that is tried again, if there is any."""
    found = [kind for kind in kinds if kind is not None]
    return next((kind for kind in found if kind not in (*OF_THE_IMAGE, Kind.DAMAGED)), found[0] if found else None)


@dataclass(frozen=True)
class Row:
    r"""The result of one image: a row of a result file.

    Attributes:
        path: The file, as given; a byte that is not UTF-8 becomes ``\\xNN``.
        scores: One score per column, or None where a metric failed; None if there is no score at all.
        scored_width, scored_height: The size of the scored image in pixels.
        kind, error: Why scores are missing: ``kind`` for code (:func:`worst_kind`), ``error`` for people.
        stamp: The state of the image, such as size and time of the file; empty if unknown.
        asked: Whether each column was asked for; empty: all.
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
    asked: tuple[bool, ...] = field(default=(), compare=False, repr=False)
    seconds: tuple[float, ...] = field(default=(), compare=False, repr=False)
    kept: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", printable(self.path))
        object.__setattr__(self, "error", printable(self.error))

    def facts(self) -> dict[str, Any]:
        """Return the values of ``FIELDS``."""
        return {name: getattr(self, name) for name in FIELDS}

    def as_dict(self, columns: Sequence[str]) -> dict[str, Any]:
        """Return column -> value."""
        scores = self.scores or (None,) * len(columns)
        return {"path": self.path, **dict(zip(columns, scores, strict=True)), **self.facts()}
