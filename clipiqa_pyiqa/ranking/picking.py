"""Which photos: the worst, the best, those below a score, by any column of any score file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CLIPIQAError, nearest
from ..scoring.directions import Direction, find_direction
from ..scoring.score_files import AnyScores

if TYPE_CHECKING:
    import pandas


class PickError(CLIPIQAError):
    """Photos that cannot be picked, or not be taken elsewhere, as asked."""


@dataclass(frozen=True)
class Photos:
    """Photos and their scores.

    Attributes:
        scores: What is known of them.
        by: The column that orders them.
        lower_better: Whether a low value of it is good; None is as the file says, or the column's name.
        root: Folder to which relative names are; None is the current one.
        direction: Whether a low or a high value of it is good, and how that is known.

    Raises:
        PickError: There is no such column.
        ScoresError: The file is one of ours that has lost which way its scores point, or contradicts ``lower_better``.
    """

    scores: AnyScores
    by: str
    lower_better: bool | None = None
    root: Path | None = None
    direction: Direction = field(init=False)

    def __post_init__(self) -> None:
        if self.by not in self.scores.columns:
            raise PickError(f"there are no scores called {self.by!r}: {nearest(self.by, self.scores.columns)}")
        direction = find_direction([self.scores], self.by, self.lower_better)
        object.__setattr__(self, "direction", direction)

    @property
    def order(self) -> pandas.Series:
        """The scores of ``by`` from the worst to the best, without photos that have none."""
        found = self.scores.frame[self.by].dropna()
        return found.sort_values(ascending=not self.direction.lower_better, kind="stable")

    def path(self, name: str) -> str:
        """Where a photo lies."""
        name = os.path.expanduser(name)
        return name if self.root is None or os.path.isabs(name) else os.path.join(self.root, name)


def pick(
    photos: Photos, *, worst: int | None = None, best: int | None = None, below: float | None = None
) -> pandas.Series:
    """The photos asked for, and their scores: the worst first, or, of the best alone, the best first.

    Args:
        photos: All of them.
        worst: So many from the bad end.
        best: So many from the good end; with ``worst``, behind them, and no photo twice.
        below: Only those worse than this value.

    Raises:
        PickError: Nothing is asked for.
    """
    if worst is None and best is None and below is None:
        raise PickError("nothing is picked: say which with worst, best or below (--worst, --best, --below).")
    order = photos.order
    if below is not None:
        order = order[order > below] if photos.direction.lower_better else order[order < below]
    if worst is None and best is None:
        return order
    rows: Sequence[int] = []
    if worst is not None:
        rows = range(min(worst, len(order)))
    if best is not None:
        taken = set(rows)
        rows = [*rows, *(n for n in reversed(range(max(0, len(order) - best), len(order))) if n not in taken)]
    return order.iloc[list(rows)]


def default_column(scores: AnyScores, asked: str | None) -> str:
    """The column to order by: the one asked for, or the only one, or the first."""
    return scores.columns[0] if asked is None else asked
