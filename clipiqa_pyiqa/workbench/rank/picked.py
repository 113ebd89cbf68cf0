"""The photos that a user picks, in parts, and the tables that show them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...checks import check_whole
from ...text import printable
from ..report.report import Report
from ..report.table import Table, frame_table
from .photos import Photos

Parts = Mapping[str, Sequence[str]]
"""Heading of a table -> the names of its photos."""


@dataclass(frozen=True)
class Picked:
    """Picked photos.

    Attributes:
        photos: All photos, picked or not.
        has_overlap: Whether a photo is among the worst and the best; it is in the part of the worst.
    """

    photos: Photos
    parts: Parts
    has_overlap: bool = False

    @property
    def names(self) -> list[str]:
        return [name for names in self.parts.values() for name in names]

    def missing(self) -> set[str]:
        """Return the photos whose file or shard does not exist."""
        return self.photos.missing(self.names)

    def without(self, left_out: Collection[str]) -> "Picked":
        """Return the picked photos but those that are left out."""
        parts = {heading: [name for name in names if name not in left_out] for heading, names in self.parts.items()}
        return replace(self, parts=parts)

    def report(self) -> Report:
        """Return a table of each part, with all scores of its photos."""
        tables = [_table(self.photos, heading, names) for heading, names in self.parts.items() if names]
        return Report(tables, self.photos.scores.frame)


def _table(photos: Photos, heading: str, names: Sequence[str]) -> Table:
    rows = photos.rows(names)
    rows = rows[[photos.by, *rows.columns.drop(photos.by)]]
    rows["path"] = list(map(printable, names))
    flags = [photos.scores.flags.get(name, "") for name in names]
    if any(flags):
        rows["flag"] = flags
    return frame_table(rows, title=f"{heading} {len(rows):,} of {photos.values.count():,} by {photos.by}")


def pick(photos: Photos, cuts: Mapping[str, Any]) -> Picked:
    """Return the photos that ``cuts`` pick; see :func:`~..results.cuts.choose`."""
    worst, best = photos.picked(**cuts)
    parts = {}
    if len(worst):
        parts["Worst" if "worst" in cuts else "Picked"] = list(worst.index)
    if len(best):
        parts["Best" if "best" in cuts else "Picked"] = list(best.index)
    if not {"worst", "best"} <= cuts.keys():
        return Picked(photos, parts)
    _, best_alone = photos.picked(**{**cuts, "worst": None})
    return Picked(photos, parts, has_overlap=len(best_alone) > len(best))


def worst_and_best(photos: Photos, count: int) -> Picked:
    """Return at most ``count`` of the worst and of the best photos; no photo is among both."""
    check_whole("count", count)
    worst, best = photos.worst_and_best(count)
    parts = {"Worst": list(worst.index), "Best": list(best.index)}
    return Picked(photos, {heading: names for heading, names in parts.items() if names})
