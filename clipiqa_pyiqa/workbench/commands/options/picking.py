"""Options of ``clipiqa rank``: what orders photos, and which of them are picked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ....errors import OptionError
from .flags import COLUMNS, OPTIONS, RARE, group_of_command

if TYPE_CHECKING:
    from ...rank.conditions import Condition


@Parameter(name="*", group=COLUMNS)
@dataclass(frozen=True)
class OrderOptions:
    """Order.

    Args:
        columns: for a score file: column of paths, then columns of scores; default: all numeric columns
        root: for a score file: folder where relative paths start; default: the current folder
        by: question or column that orders the photos; default: the first
        lower_better: low values are good; default: the file or the column's name decides
        higher_better: high values are good
    """

    columns: Annotated[Sequence[str], Parameter(metavar="COLUMN")] = ()
    root: Annotated[Path | None, Parameter(metavar="DIR")] = None
    by: Annotated[str | None, Parameter(metavar="COLUMN", group=OPTIONS)] = None
    lower_better: bool = False
    higher_better: bool = False

    @property
    def direction(self) -> bool | None:
        if self.lower_better and self.higher_better:
            raise OptionError(
                "lower_better and higher_better exclude each other: give one of the two.",
                options=("higher_better", "lower_better"),
            )
        return self.lower_better if self.lower_better or self.higher_better else None


@Parameter(name="*", group=group_of_command("Picked photos"))
@dataclass(frozen=True)
class PickOptions:
    """Picked photos.

    Args:
        where: pick only photos whose scores meet all of these, such as 'sharpness >= 0.3'
        flagged: pick only photos with a flag, or with one of these, such as 'almost black'
        unflagged: pick only photos without a flag, or without these
        worst: pick the N worst photos, or P percent
        best: pick the N best photos, or P percent
        below: pick photos worse than X, or the worst P percent
        above: pick photos at least as good as X, or all but the worst P percent
        drop_worst: pick all photos but the worst P percent
        paths: print only paths of picked photos
        null: with --paths: end each path with a NUL byte, for xargs -0
        skip_missing: leave out picked photos that do not exist; what was left out does not decide the exit code
        despite_changes: also pick photos that have changed since they were scored
    """

    where: Annotated[Sequence[str], Parameter(metavar="BOUND")] = ()
    flagged: Annotated[Sequence[str] | None, Parameter(metavar="[FLAG]", consume_multiple=True)] = None
    unflagged: Annotated[Sequence[str] | None, Parameter(metavar="[FLAG]", consume_multiple=True)] = None
    worst: Annotated[str | None, Parameter(metavar="N|P%")] = None
    best: Annotated[str | None, Parameter(metavar="N|P%")] = None
    below: Annotated[str | None, Parameter(metavar="X|P%")] = None
    above: Annotated[str | None, Parameter(metavar="X|P%")] = None
    drop_worst: Annotated[str | None, Parameter(metavar="P%")] = None
    paths: bool = False
    null: Annotated[bool, Parameter(alias="-0")] = False
    skip_missing: Annotated[bool, Parameter(group=RARE)] = False
    despite_changes: Annotated[bool, Parameter(group=RARE)] = False

    def cuts(self) -> dict[str, Any]:
        """Return the conditions that are given. Raises ``CLIPIQAError``, before photos are scored."""
        from ...results.cuts import CUTS, check_cuts

        if self.null and not self.paths:
            raise OptionError("-0 needs --paths.")
        cuts = {name: getattr(self, name) for name in CUTS if getattr(self, name) is not None}
        check_cuts(cuts)
        return cuts

    def conditions(self) -> list[Condition]:
        """Return what a photo must meet besides. Raises ``CLIPIQAError``, before photos are scored."""
        from ...rank.conditions import bound_in, flag_conditions

        return [*map(bound_in, self.where), *flag_conditions(self.flagged, self.unflagged)]
