"""The photos of a score file: their order, their files, and those that conditions pick."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas

from ...errors import CLIPIQAError
from ...text import first_of, hint_for, on_disk, printable, twice_in
from ..names.members import file_of
from ..results.cuts import choose
from ..results.directions import Direction, find_direction
from ..results.failures import UNREAD
from ..results.scores import Scores
from .conditions import Bound, Condition


@dataclass(frozen=True)
class Photos:
    """Photos and their scores.

    Attributes:
        by: The score that orders the photos.
        lower_better: Whether low values are good; None: the file or the column's name decides.
        root: The folder where relative paths start; None means the current folder.
        conditions: What a photo must meet to be picked; a share is one of the photos that do.
    """

    scores: Scores
    by: str
    lower_better: bool | None = None
    root: Path | None = None
    conditions: Sequence[Condition] = ()

    def __post_init__(self) -> None:
        if self.by not in self.scores.names:
            raise CLIPIQAError(f"there are no scores called {self.by!r}: {hint_for(self.by, self.scores.names)}")
        if not self.values.notna().any():
            raise CLIPIQAError(f"no photo has a score of {self.by!r}: name another column (`by`).", options=("by",))
        twice = twice_in(os.path.abspath(self.path(name)) for name in self.values.index)
        if twice:
            raise CLIPIQAError(f"{twice!r} has several rows in {self.scores.file!r}: leave one row of each photo.")

    @property
    def values(self) -> pandas.Series:
        """Return the scores that order the photos, by name; NaN for a photo without a score."""
        return self.scores.frame[self.by]

    @cached_property
    def direction(self) -> Direction:
        """Return whether low or high values are good."""
        return find_direction([self.scores], self.by, self.lower_better)

    def path(self, name: str) -> str:
        """Return the file of a photo's name in the scores."""
        return on_disk(os.path.join(self.root or "", os.path.expanduser(name)))

    @property
    def unscored(self) -> list[str]:
        """Return the names of the photos that lack the score that orders them, or one that a condition needs."""
        is_unscored = self.values.isna()
        for condition in self.conditions:
            if isinstance(condition, Bound):
                is_unscored |= condition.numbers(self.scores).isna()
        return list(self.values.index[is_unscored])

    @property
    def unreadable(self) -> set[str]:
        """Return the names of the photos that could not be read when they were scored."""
        if "kind" not in self.scores.other:
            return set()
        return set(self.values.index[self.scores.other["kind"].isin(UNREAD)])

    @cached_property
    def candidates(self) -> pandas.Series:
        """Return the scores that order the photos; NaN for a photo that does not meet all conditions."""
        scores = self.values
        for condition in self.conditions:
            scores = scores.where(condition.holds(self.scores))
        return scores

    def best_first(self) -> list[str]:
        """Return the names of the photos that can be picked, from the best to the worst."""
        _, best = self.picked(best="100%")
        return list(best.index)

    def picked(self, **cuts: Any) -> tuple[pandas.Series, pandas.Series]:
        """Return the worst and the best photos with their scores; ``cuts`` as for :func:`choose`."""
        names = list(map(printable, self.values.index))
        worst, best = choose(names, self.candidates, self.direction.lower_better, cuts)
        return self.values.iloc[worst], self.values.iloc[best]

    def worst_and_best(self, count: int) -> tuple[pandas.Series, pandas.Series]:
        """Return at most ``count`` of the worst and of the best photos with their scores; no photo is among both."""
        half = len(self.best_first()) // 2
        return self.picked(worst=min(count, half) or None, best=count)

    def rows(self, names: Sequence[str]) -> pandas.DataFrame:
        """Return all scores of some photos, in their order."""
        return self.scores.frame.loc[pandas.Index(names, dtype=object)]  # pandas' own text type refuses all but UTF-8

    def missing(self, names: Iterable[str]) -> set[str]:
        """Return those photos whose file or shard does not exist."""
        return {name for name in names if not file_of(self.path(name))}

    def check_unchanged(self, names: Iterable[str]) -> None:
        """Raise ``CLIPIQAError`` if the file or shard of a photo has changed since it was scored."""
        changed = self.scores.changed(names, self.path)
        if changed:
            problem = first_of(f"{self.path(name)!r} has changed since it was scored" for name in changed)
            raise CLIPIQAError(
                f"{problem}: nothing was done; score again, or pass despite_changes.", options=("despite_changes",)
            )
