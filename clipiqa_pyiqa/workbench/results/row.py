"""Rows: the scores of one image by the columns of a run, or the reason why there are none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import Kind
from ...text import printable
from ..files.journal import Cells

NUMBERS = ("width", "height", "scored_width", "scored_height", "exif_orientation")
FIELDS = (*NUMBERS, "converted", "flag", "kind", "error", "stamp")
"""The columns after the scores; each is an attribute of ``Row``."""


@dataclass(frozen=True)
class Row:
    r"""The result of one image: a row of a result file.

    Attributes:
        path: The file, as given; a byte that is not UTF-8 becomes ``\\xNN``.
        scores: One score per column, or None where a metric failed; None if there is no score at all.
        scored_width, scored_height: The size of the scored image in pixels.
        kind, error: Why scores are missing: ``kind`` for code (:func:`~.failures.kind_of_row`), ``error`` for people.
        stamp: The state of the image, such as size and time of the file; empty if unknown.
        asked: Whether each column was asked for; empty: all.
        seconds: The time that each metric took for the image; empty if nobody measures it.
        carried: Values of its shard that stand beside the scores.
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
    carried: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", printable(self.path))
        object.__setattr__(self, "error", printable(self.error))

    def facts(self) -> Cells:
        """Return the values of ``FIELDS``."""
        return {name: getattr(self, name) for name in FIELDS}

    def asked_scores(self, names: Sequence[str]) -> dict[str, float | None]:
        """Return name of a column -> score, or None where it failed; without columns that were not asked for."""
        scores = self.scores or [None] * len(names)
        if not self.asked:
            return dict(zip(names, scores, strict=True))
        cells = zip(names, scores, self.asked, strict=True)
        return {name: score for name, score, is_asked in cells if is_asked}

    def as_dict(self, names: Sequence[str]) -> Cells:
        """Return column -> value."""
        scores = self.scores or (None,) * len(names)
        return {"path": self.path, **dict(zip(names, scores, strict=True)), **self.facts()}


def has_value(cells: Cells, name: str) -> bool:
    """Return whether a row has something in a column, whether it is read from a csv file or not."""
    return cells[name] not in (None, "")
