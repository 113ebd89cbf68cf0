"""The worst and the best photos of a score file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CLIPIQAError, nearest
from ..scoring.directions import Direction, find_direction
from ..scoring.score_files import AnyScores

if TYPE_CHECKING:
    import pandas


class PickError(CLIPIQAError):
    """The error for photos that cannot be picked, copied, moved or linked."""


@dataclass(frozen=True)
class Photos:
    """Photos and their scores.

    Attributes:
        by: The column that orders the photos.
        lower_better: Whether a low value is good; None means as the file or the column's name says.
        root: The folder where relative paths start; None means the current folder.
        direction: Whether low or high values are good.

    Raises:
        PickError: There is no column ``by``.
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
        """Return the scores of ``by`` from the worst to the best, without missing scores."""
        found = self.scores.frame[self.by].dropna()
        return found.sort_values(ascending=not self.direction.lower_better, kind="stable")

    def path(self, name: str) -> str:
        name = os.path.expanduser(name)
        return name if self.root is None else os.path.join(self.root, name)


def pick(
    photos: Photos, *, worst: int | None = None, best: int | None = None, below: float | None = None
) -> pandas.Series:
    """Return picked photo -> score: first the worst photos (the worst first), then the best (the best first).

    Args:
        photos: All photos.
        worst: Number of the worst photos.
        best: Number of the best photos.
        below: Pick only photos worse than this value.
    """
    order = photos.order
    if below is not None:
        order = order[order > below] if photos.direction.lower_better else order[order < below]
    if worst is None and best is None:
        return order
    first = min(worst or 0, len(order))
    last = max(first, len(order) - (best or 0))
    return order.iloc[[*range(first), *reversed(range(last, len(order)))]]
