"""Rows: the scores of one image by the columns of a run, or the reason why there are none."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...errors import Kind
from ...files.printable import printable
from ..files.journal import Cells

NUMBERS = ("width", "height", "scored_width", "scored_height", "exif_orientation")
FIELDS = (*NUMBERS, "converted", "flag", "kind", "error", "stamp")
"""The columns after the scores; each is an attribute of ``Row``."""
_OF_FILES = (Kind.EMPTY, Kind.NOT_A_FILE, Kind.DAMAGED_ARCHIVE, Kind.OUTSIDE, Kind.NOT_AN_IMAGE, Kind.UNCLEAR_SCALE)
UNREAD = (*_OF_FILES, Kind.DAMAGED, Kind.UNREADABLE, Kind.MISSING)
"""Kinds of images that nobody can read."""
OF_THE_IMAGE = (*_OF_FILES, Kind.TOO_SMALL)
"""Kinds of failures that only the image decides: they are kept as long as the image stays the same."""


class Answer(NamedTuple):
    """The scores of one metric for one image, or None with a reason; ``seconds`` is the time of scoring."""

    values: tuple[float, ...] | None = None
    seconds: float = math.nan
    error: str = ""
    kind: Kind | None = None


def is_final(kind: Kind | None, has_same_decoders: bool) -> bool:
    """Return whether a failure is kept while the image stays the same; others are tried again."""
    return kind in OF_THE_IMAGE or (kind is Kind.DAMAGED and has_same_decoders)


def worst_kind(kinds: Sequence[Kind | None]) -> Kind | None:
    """Return the kind of several failures in a row, if possible one that is tried again.

    That another tool's score is missing counts only if nothing else failed.
    """
    failures = [kind for kind in kinds if kind and kind != Kind.NOT_IN_FILE]
    for kind in failures:
        if not is_final(kind, has_same_decoders=True):
            return kind
    if failures:
        return failures[0]
    return Kind.NOT_IN_FILE if Kind.NOT_IN_FILE in kinds else None


def failure_with_lacks(path: str, kind: str | None, error: str | None, lacks: Mapping[str, bool]) -> Cells:
    """Return ``kind`` and ``error`` of a row, which also name the scores of other tools that it lacks.

    Args:
        kind, error: The row's, perhaps of an earlier run, whose sentences on the same columns no longer hold.
        lacks: Column of another tool's scores -> whether the row lacks one.
    """
    other_errors = _without_lacks(path, error or "", lacks)
    if kind == Kind.NOT_IN_FILE and not other_errors:
        kind = None
    missing = [name for name, is_lacking in lacks.items() if is_lacking]
    if missing and not kind:
        kind = Kind.NOT_IN_FILE
    sentences = [other_errors, *(_lack(path, name) for name in missing)]
    return {"kind": kind or None, "error": " ".join(filter(None, sentences))}


def _without_lacks(path: str, error: str, columns: Iterable[str]) -> str:
    """Return the errors of a row without those on scores of other tools: a file stores all of them as one text."""
    for name in columns:
        error = error.replace(_lack(path, name), "").strip()
    return error


def _lack(path: str, column: str) -> str:
    return f"{path!r} has no score in the file of {column!r}."


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

    def as_dict(self, columns: Sequence[str]) -> Cells:
        """Return column -> value."""
        scores = self.scores or (None,) * len(columns)
        return {"path": self.path, **dict(zip(columns, scores, strict=True)), **self.facts()}
