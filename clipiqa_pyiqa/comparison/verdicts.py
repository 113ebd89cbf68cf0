"""Verdicts of ``gate``: whether a column of scores is worse in a second run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas

from ..errors import CLIPIQAError, counted
from ..results.scores import Direction, Scores
from ..stats.bootstrap import Array, holm
from ..stats.paired_means import FEW, LEVEL, mean_difference, noticed

FAILED = ("worse", "unclear")
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
        noticed: Loss that four of five such runs find.
        base_of_all: Mean of all rows of the first run, also of those that the second run lacks.
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
    margin: float | None = None
    p_holm: float | None = None
    equal: bool = False
    largest_loss: float = 0.0
    worst_loss: float | None = None
    fingerprint: str = ""
    base_of_all: float = 0.0

    @property
    def sign(self) -> int:
        return -1 if self.direction.lower_better else 1

    @property
    def record(self) -> dict[str, Any]:
        return {**asdict(self), "gains": self.gains, "verdict": self.verdict}

    @property
    def gains(self) -> list[float]:
        """The interval's lower end, the difference and the upper end, where a gain is positive."""
        return sorted(self.sign * each for each in (self.low, self.difference, self.high))

    @property
    def verdict(self) -> str:
        """``'worse'``, ``'better'`` or ``'no change'``; with a margin ``'pass'``, ``'worse'`` or ``'unclear'``.

        A column passes if its interval excludes a loss of ``margin``, and is worse if it lies beyond. Without
        a margin, a change is more than rounding, its interval excludes 0, and its corrected p-value is below 0.05.
        If every row agrees within rounding, a column passes or has no change, however few rows there are. A column is
        also worse if a row loses more than ``worst_loss``.
        """
        if self.has_bad_row:
            return "worse"
        if self.equal:
            return "no change" if self.margin is None else "pass"
        low, _, high = self.gains
        if self.margin is not None:
            if self.n < FEW or low <= -self.margin <= high:
                return "unclear"
            return "pass" if low > -self.margin else "worse"
        p = self.p if self.p_holm is None else self.p_holm
        if abs(self.difference) <= self.rounding or low <= 0 <= high or p >= LEVEL:
            return "no change"
        return "better" if low > 0 else "worse"

    @property
    def has_bad_row(self) -> bool:
        return self.worst_loss is not None and self.largest_loss > self.worst_loss

    @property
    def line(self) -> str:
        return f"{self.name}: {self.verdict}: {self.interval}, {self.means}{self._because}, {self.direction}"

    @property
    def interval(self) -> str:
        return f"{self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"

    @property
    def means(self) -> str:
        return f"{self.base:.4f} to {self.new:.4f}, n = {self.n}"

    @property
    def _because(self) -> str:
        low, _, high = self.gains
        if self.has_bad_row:
            return f", an image loses {self.largest_loss:.4f}, more than {self.worst_loss:g}"
        if self.margin is not None:
            if self.n < FEW and not self.equal:
                return f", fewer than {FEW} rows"
            if self.verdict == "unclear":
                return f", a loss of {self.margin:g} is not excluded"
            return f", a loss beyond chance, but below {self.margin:g}" if -self.margin < low and high < 0 else ""
        text = f" (a loss of {self.noticed:.2g} would have shown four times in five)"
        if 0 < abs(self.difference) <= self.rounding:
            text += f", a difference within rounding ({self.rounding:.0e})"
        elif self.verdict == "no change" and not low <= 0 <= high:
            text += f", p = {self.p:.2g} alone, {self.p_holm:.2g} among all columns"
        return text if self.n >= FEW else f"{text}, less certain with fewer than {FEW} rows"


def judge(
    rows: pandas.DataFrame,
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
        finite = rows[rows[f"{name} difference"].notna()]
        base, new = finite[[f"{name} base", f"{name} new"]].to_numpy(float).T
        fewest = 2 if name in margins else math.floor(math.log2(count / LEVEL)) + 2
        if len(base) < fewest:
            raise CLIPIQAError(
                f"{name!r} has finite scores of {counted(len(base), 'row')} in both runs, but {fewest} or more are "
                f"needed for {counted(count, 'column')}: with fewer rows, all differences may have the same "
                "sign by chance."
            )
        apart = mean_difference(new, base)
        if math.isnan(apart.p):
            raise CLIPIQAError(f"{name!r} has no interval: its scores are too large.")
        of_rows = _rounding(name, runs, np.maximum(abs(base), abs(new)))
        rounding = float(np.median(of_rows))
        pairs[name] = ColumnPair(
            name,
            direction,
            n=len(base),
            base=float(base.mean()),
            new=float(new.mean()),
            difference=apart.value,
            low=apart.low,
            high=apart.high,
            p=apart.p,
            rounding=rounding,
            equal=bool((abs(new - base) <= of_rows).all()),
            noticed=max(rounding, noticed(new - base, LEVEL / count)),
            margin=margins.get(name),
            largest_loss=float(max((base - new) * (-1 if direction.lower_better else 1))),
            worst_loss=limits["worst_loss"].get(name),
            fingerprint=runs[1].columns[name].fingerprint if name in runs[1].columns else "",
            base_of_all=float(runs[0].frame[name].replace([math.inf, -math.inf], math.nan).mean()),
        )
    for name, p in zip(corrected, holm([pairs[name].p for name in corrected]), strict=True):
        pairs[name] = replace(pairs[name], p_holm=float(p))
    return tuple(pairs.values())


def _rounding(name: str, runs: Sequence[Scores], largest: Array) -> Array:
    """Return the difference of each row that rounding may cause; ``largest`` holds its magnitude."""
    for run in runs:
        low, high = run.columns[name].ends if name in run.columns else (None, None)
        if low is not None and high is not None:
            return np.full(len(largest), (high - low) * _ROUNDING[run.columns[name].record.get("precision", "fp32")])
    return largest * 1e-6
