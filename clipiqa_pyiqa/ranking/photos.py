"""The photos of a score file: their order, and their files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CLIPIQAError, first_of, nearest
from ..files.names import on_disk, printable
from ..report.report import Report
from ..report.table import frame_table
from ..results.choosing import choose
from ..results.scores import Direction, Scores, find_direction
from ..sources.finding import file_of

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Photos:
    """Photos and their scores.

    Attributes:
        moments: Path -> number of its moment (:func:`.find_moments`); :meth:`ends` then picks within each moment.
    """

    scores: Scores
    by: str
    lower_better: bool | None = None
    root: Path | None = None
    moments: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if self.by not in self.scores.names:
            raise CLIPIQAError(f"there are no scores called {self.by!r}: {nearest(self.by, self.scores.names)}")
        if not self.scores.frame[self.by].notna().any():
            why = f" ({first_of(self.scores.errors.values())})" if self.scores.errors else ""
            raise CLIPIQAError(f"no photo has a score of {self.by!r}{why}: name another column (`by`).")

    @cached_property
    def direction(self) -> Direction:
        """Return whether low or high values are good."""
        return find_direction([self.scores], self.by, self.lower_better)

    def ends(self, **cuts: Any) -> tuple[pandas.Series, pandas.Series]:
        """Return the worst and the best photos with their scores; ``cuts`` as for :func:`choose`.

        The best photo of a moment is never among its worst.
        """
        worst, best = (self.scores.frame[self.by].iloc[places] for places in self._places(cuts))
        return worst, best

    def _places(self, cuts: Mapping[str, Any]) -> tuple[Any, Any]:
        scores, is_low = self.scores.frame[self.by], self.direction.lower_better
        names = list(map(printable, scores.index))
        if self.moments is None:
            return choose(names, scores, is_low, cuts)
        found = [list[int](), list[int]()]
        for places in scores.groupby(self.numbers(scores.index)).indices.values():
            worst, best = choose([names[place] for place in places], scores.iloc[places], is_low, cuts)
            if "worst" in cuts and len(worst) == scores.iloc[places].count():
                worst, best = worst[:-1], worst[-1:] if "best" in cuts else best
            for way, end in enumerate((worst, best)):
                found[way] += places[end].tolist()
        for way, places in enumerate(found):
            places.sort(key=lambda place: (scores.iloc[place] * (1 if is_low == way else -1), names[place]))
        return found[0], found[1]

    def numbers(self, names: Iterable[str]) -> list[int]:
        """Return the numbers of photos' moments; empty if there are none."""
        return [self.moments[self.path(name)] for name in names] if self.moments else []

    def report(self, **cuts: Any) -> Report:
        """Return the worst and the best photos as two lists with all of their scores; ``cuts`` as for :meth:`ends`."""
        frame, flags, tables = self.scores.frame, self.scores.flags, []
        known = f"of {frame[self.by].count():,} by {self.by}"
        for end, places in zip(("Worst" if "worst" in cuts else "Picked", "Best"), self._places(cuts), strict=True):
            if len(places):
                rows = frame.iloc[places][[self.by, *frame.columns.drop(self.by)]]
                rows["path"] = list(map(printable, rows.index))
                if self.moments is not None:
                    rows["moment"] = self.numbers(rows.index)
                if any(marks := [flags.get(name, "") for name in rows.index]):
                    rows["flag"] = marks
                tables.append(frame_table(rows, title=f"{end} {len(rows):,} {known}"))
        return Report(tables, frame)

    def check_unchanged(self, names: Iterable[str]) -> None:
        """Raise ``CLIPIQAError`` if the file or shard of a photo has changed since it was scored."""
        if changed := [
            f"{self.path(name)!r} has changed since it was scored" for name in self.scores.changed(names, self.path)
        ]:
            raise CLIPIQAError(f"{first_of(changed)}: nothing was done; score again, or pass despite_changes.")

    def path(self, name: str) -> str:
        return on_disk(os.path.join(self.root or "", os.path.expanduser(name)))


def is_local(path: str) -> bool:
    """Return whether a photo is a file on this machine, not in a shard, missing, or in a store."""
    return file_of(path) == path and "://" not in path
