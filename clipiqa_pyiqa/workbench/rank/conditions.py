"""Conditions that a photo must meet to be picked: bounds of its scores, and its flag."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas

from ...errors import CLIPIQAError, OptionError
from ...text import hint_for
from ..images.uniform import FLAGS
from ..results.scores import Scores

_SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_BOUND = re.compile(r"\s*(.+?)\s*(>=|<=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")


@dataclass(frozen=True)
class Bound:
    """A bound of a score, or of another number that the file has for each photo, such as its width."""

    column: str
    sign: str
    number: float

    def holds(self, scores: Scores) -> pandas.Series:
        """Return for each photo whether the bound holds; it does not where the number is missing."""
        return _SIGNS[self.sign](self.numbers(scores), self.number)

    def numbers(self, scores: Scores) -> pandas.Series:
        """Return the column's numbers; NaN where one is missing."""
        if self.column in scores.names:
            return scores.frame[self.column]
        if self.column in scores.other:
            numbers = pandas.to_numeric(scores.other[self.column], errors="coerce")
            if numbers.notna().any():
                return numbers
        raise CLIPIQAError(f"there are no scores called {self.column!r}: {hint_for(self.column, scores.names)}")


@dataclass(frozen=True)
class Flagged:
    """Whether a photo has one of some flags.

    Attributes:
        flags: The flags that count; empty: all.
        is_wanted: Whether to pick the photos that have one, or those that have none.
    """

    flags: Sequence[str]
    is_wanted: bool

    def holds(self, scores: Scores) -> pandas.Series:
        """Return for each photo whether the condition holds."""
        if not scores.is_ours or "flag" not in scores.other:
            raise CLIPIQAError(f"{scores.file!r} holds no flags: score the photos with `clipiqa score` first.")
        flags = scores.other["flag"].fillna("")
        has_flag = flags.isin(list(self.flags)) if self.flags else flags.ne("")
        return has_flag if self.is_wanted else ~has_flag


Condition = Bound | Flagged


def bound_in(text: str) -> Bound:
    """Return the bound in a text such as ``'quality >= 0.6'``."""
    parts = _BOUND.fullmatch(text)
    if parts is None:
        raise CLIPIQAError(
            f"where must be a column, one of {', '.join(_SIGNS)}, and a number, such as 'quality >= 0.6'; got "
            f"{text!r}.",
            options=("where",),
        )
    column, sign, number = parts.groups()
    return Bound(column, sign, float(number))


def flag_conditions(flagged: Sequence[str] | None, unflagged: Sequence[str] | None) -> list[Flagged]:
    """Return what a photo's flag must be and must not be. Raises ``CLIPIQAError`` for flags that nobody gives.

    Args:
        flagged: Flags of which a photo must have one; empty: any flag; None: it need not have one.
        unflagged: Flags that a photo must not have; empty: any flag; None: it may have each.
    """
    conditions = []
    if flagged is not None:
        _check_flags(flagged, "flagged")
        conditions.append(Flagged(tuple(flagged), is_wanted=True))
    if unflagged is not None:
        _check_flags(unflagged, "unflagged")
        conditions.append(Flagged(tuple(unflagged), is_wanted=False))
    if flagged is not None and unflagged is not None:
        wanted = set(flagged or FLAGS)
        unwanted = set(unflagged or FLAGS)
        if wanted <= unwanted:
            raise OptionError(
                "flagged and unflagged leave no photo: name no flag in both, or leave one of them out.",
                options=("flagged", "unflagged"),
            )
    return conditions


def _check_flags(flags: Sequence[str], option: str) -> None:
    unknown = [flag for flag in flags if flag not in FLAGS]
    if unknown:
        raise CLIPIQAError(
            f"{option} takes names of flags ({', '.join(FLAGS)}), or none for all; got {unknown[0]!r}, which may "
            "be a PATH: put paths first.",
            options=(option,),
        )
