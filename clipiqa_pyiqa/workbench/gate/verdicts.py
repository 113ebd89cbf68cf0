"""Verdicts of ``gate`` on each column, and the rounding that they allow for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from ...errors import CLIPIQAError
from ...text import counted
from ..results.columns import Column
from ..results.directions import Direction
from ..results.scores import Scores
from ..stats.mean_differences import FEW, ROUNDING, detectable_difference, mean_difference
from ..stats.significance import LEVEL, cases_needed, holm

SAFE = 0.99
"""Share of runs without a change that pass a margin which so many rows can decide."""
_ROUNDING = {"fp32": 1e-5, "bf16": 2e-3, "fp16": 3e-4}
"""Share of a closed range by which other threads or processors may change a mean.

Measured with mini on 48 photos, as the change of a mean from two threads and AVX-512 to one thread and AVX2: 3e-8 in
fp32, 1e-3 in bf16. fp16 was not measured on a GPU; it has three bits more than bf16.
"""


@dataclass(frozen=True)
class ColumnPair:
    """One column, compared in both runs.

    Attributes:
        n, base, new: Number of rows with scores in both runs, and each run's mean.
        difference, low, high, p: New minus base, with its 95 % interval and p-value.
        rounding: Difference that other threads or another processor may cause: the median of the rows.
        noticed: Loss that the test would show in four of five pairs of runs like these.
        decidable: Margin that 99 of 100 pairs of runs like these would pass without a change; NaN if unknown.
        caveat: Why these differences tell little of other rows, or empty.
        margin, worst_loss: Allowed losses of the mean and of one image; None if there is no limit.
        p_holm: p corrected for the number of columns without a margin; None with a margin.
        is_equal: Whether every row agrees within rounding.
        largest_loss: Largest loss of one image; negative if all gain.
    """

    name: str
    direction: Direction
    n: int
    base: float
    new: float
    difference: float
    low: float
    high: float
    p: float
    rounding: float
    noticed: float
    caveat: str = ""
    margin: float | None = None
    p_holm: float | None = None
    is_equal: bool = False
    largest_loss: float = 0.0
    worst_loss: float | None = None
    decidable: float = math.nan

    @property
    def sign(self) -> int:
        return -1 if self.direction.lower_better else 1

    @property
    def record(self) -> dict[str, Any]:
        return {**asdict(self), "gains": self.gains, "verdict": self.verdict}

    @property
    def gains(self) -> list[float]:
        """The interval's lower end, the difference and the upper end, where a gain is positive."""
        return sorted(self.sign * change for change in (self.low, self.difference, self.high))

    @property
    def verdict(self) -> str:
        """``'worse'``, ``'better'`` or ``'no change'``; with a margin ``'pass'``, ``'worse'`` or ``'unclear'``.

        With 20 rows or more, a column passes if its interval excludes a loss of ``margin``; it is worse if all of the
        interval lies beyond. Without a margin, a change is more than rounding, its interval excludes 0, and its
        corrected p-value is below 0.05. If every row agrees within rounding, a column passes or has no change, however
        few rows there are. It is also worse if a row loses more than ``worst_loss``.
        """
        return self._judged[0]

    @property
    def _judged(self) -> tuple[str, str]:
        """The verdict, and words that explain it."""
        if self.has_image_beyond:
            _, text = self._mean_judged
            return "worse", f"{text}, an image loses {self.largest_loss:.4f}, more than {self.worst_loss:g}"
        return self._mean_judged

    @property
    def has_image_beyond(self) -> bool:
        """Whether an image loses more than ``worst_loss``."""
        return self.worst_loss is not None and self.largest_loss > self.worst_loss

    @property
    def _mean_judged(self) -> tuple[str, str]:
        """The verdict on all rows together, and words that explain it."""
        if self.margin is not None:
            return self._judged_by_margin(self.margin)
        return self._judged_by_chance()

    def _judged_by_margin(self, margin: float) -> tuple[str, str]:
        """The verdict on all rows by their margin, and words that explain it."""
        low, _, high = self.gains
        has_few_rows = self.n < FEW
        is_margin_excluded = low > -margin
        if self.is_equal or (is_margin_excluded and not has_few_rows):
            is_loss = is_margin_excluded and high < 0
            return "pass", f", a loss beyond chance, but below {margin:g}" if is_loss else ""
        if high < -margin:
            return "worse", f", less certain with fewer than {FEW} rows" if has_few_rows else ""
        if has_few_rows:
            return "unclear", f", fewer than {FEW} rows"
        because = f", as {self.caveat}" if self.caveat else f" ({self.margin_text})"
        return "unclear", f", the loss may be {margin:g} or more{because}"

    def _judged_by_chance(self) -> tuple[str, str]:
        """The verdict on all rows without a margin, and words that explain it."""
        low, _, high = self.gains
        verdict = "no change"
        text = f" (a loss of {self.noticed:.2g} would be detected 80 % of the time)"
        if self.caveat:
            text = f", {self.caveat}"
        if 0 < abs(self.difference) <= self.rounding:
            text += f", a difference within rounding ({self.rounding:.0e})"
        elif not low <= 0 <= high:
            corrected = self.p if self.p_holm is None else self.p_holm  # one column alone needs no correction
            if self.is_equal or corrected >= LEVEL:
                text += f", p = {self.p:.2g} alone, {corrected:.2g} among all columns"
            else:
                verdict = "better" if low > 0 else "worse"
        if self.n < FEW:
            text += f", less certain with fewer than {FEW} rows"
        return verdict, text

    @property
    def margin_text(self) -> str:
        """Which margin so many rows can decide, as a phrase; empty if that is unknown."""
        if self.n < FEW:
            return f"a margin needs {FEW} rows"
        if self.caveat or math.isnan(self.decidable):
            return ""
        text = f"{self.n:,} such rows can decide a margin of {self.decidable:.2g}"
        if self.margin is None:
            return text
        if self.decidable <= self.margin:
            return f"the loss lies near {self.margin:g}, though {text}"
        needed = math.ceil(self.n * (self.decidable / self.margin) ** 2)
        return f"{text}, about {needed:,} one of {self.margin:g}"

    @property
    def reason(self) -> str:
        """Why the column fails, as a phrase for the line of the verdict."""
        if self.verdict == "unclear":
            return f"{self.name} is unclear" + (f" ({self.margin_text})" if self.margin_text else "")
        of_mean = f"{self.name} is worse by {abs(self.difference):.2g}"
        if not self.has_image_beyond:
            return of_mean
        of_image = f"by {self.largest_loss:.2g}, above the worst loss of {self.worst_loss:g}, for one image"
        mean_verdict, _ = self._mean_judged
        if mean_verdict == "worse":
            return f"{of_mean}, and {of_image}"
        if mean_verdict == "unclear":
            why = f" ({self.margin_text})" if self.margin_text else ""
            return f"{self.name} is worse {of_image}, and unclear on the whole{why}"
        return f"{self.name} is worse {of_image}"

    @property
    def line(self) -> str:
        verdict, reason = self._judged
        return f"{self.name}: {verdict}: {self.interval}, {self.means}{reason}, {self.direction}"

    @property
    def interval(self) -> str:
        return f"{self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"

    @property
    def largest_loss_text(self) -> str:
        """The largest loss of an image, beside the limit if there is one; empty if no image loses."""
        if self.largest_loss <= 0:
            return ""
        limit = "" if self.worst_loss is None else f" (limit: {self.worst_loss:g})"
        return f"{self.largest_loss:.4f}{limit}"

    @property
    def means(self) -> str:
        return f"{self.base:.4f} to {self.new:.4f}, n = {self.n}"


def judge(
    rows: DataFrame,
    directions: Mapping[str, Direction],
    limits: Mapping[str, Mapping[str, float]],
    runs: Sequence[Scores],
) -> tuple[ColumnPair, ...]:
    """Return a verdict per column.

    Args:
        limits: The allowed losses: ``'margin'`` and ``'worst_loss'``, each column -> limit.
    """
    margins = limits["margin"]
    corrected = [name for name in directions if name not in margins]
    count = max(1, len(corrected))
    pairs = {}
    for name, direction in directions.items():
        pair = _compared(name, direction, rows, runs, count, name in margins)
        pairs[name] = replace(pair, margin=margins.get(name), worst_loss=limits["worst_loss"].get(name))
    for name, p in zip(corrected, holm([pairs[name].p for name in corrected]), strict=True):
        pairs[name] = replace(pairs[name], p_holm=p)
    return tuple(pairs.values())


def _compared(
    name: str, direction: Direction, rows: DataFrame, runs: Sequence[Scores], count: int, has_margin: bool
) -> ColumnPair:
    """Return one column of both runs, without limits; ``count`` columns are judged by chance."""
    sentence = shortage(name, rows, has_margin, count)
    if sentence:
        raise CLIPIQAError(f"{sentence}: with fewer rows, all differences may have the same sign by chance.")
    finite = rows[rows[f"{name} difference"].notna()]
    base, new = finite[[f"{name} base", f"{name} new"]].to_numpy(float).T
    estimate = mean_difference(new, base)
    if math.isnan(estimate.p):
        raise CLIPIQAError(f"{name!r} has no interval: its scores are too large.")
    of_rows = rounding_of_rows(name, runs, base, new)
    rounding = np.median(of_rows)
    is_equal = bool((abs(new - base) <= of_rows).all())
    losses = new - base if direction.lower_better else base - new
    return ColumnPair(
        name,
        direction,
        len(base),
        base.mean(),
        new.mean(),
        *estimate.numbers,
        rounding=rounding,
        is_equal=is_equal,
        noticed=max(rounding, detectable_difference(new - base, LEVEL / count)),
        decidable=detectable_difference(new - base, power=SAFE),
        caveat="" if is_equal else estimate.caveat,
        largest_loss=max(losses),
    )


def shortage(name: str, rows: DataFrame, has_margin: bool, count: int) -> str:
    """Return a sentence on a column with too few rows to be judged among ``count`` columns; empty if it has enough."""
    scored = int(rows[f"{name} difference"].notna().sum())
    needed = 2 if has_margin else cases_needed(count)
    if scored >= needed:
        return ""
    return (
        f"{name!r} has finite scores of {counted(scored, 'row')} in both runs, but {needed} or more are needed for "
        f"{counted(count, 'column')}"
    )


def rounding_of_rows(
    name: str, runs: Sequence[Scores], base: NDArray[np.float64], new: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the difference of each row that other threads or another processor may cause."""
    of_rows = np.maximum(abs(base), abs(new)) * ROUNDING
    for run in reversed(runs):  # the base comes last, as its range counts if both have one
        column = run.columns.get(name, Column(name))
        low, high = column.bounds
        if low is not None and high is not None:
            of_rows[:] = (high - low) * _ROUNDING.get(column.record.get("precision", "")[:4], _ROUNDING["fp32"])
    return of_rows
