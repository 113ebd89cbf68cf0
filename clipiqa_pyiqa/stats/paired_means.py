"""Means of paired differences for few cases."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .bootstrap import Array, Difference

FEWEST = 6
"""With fewer cases, all differences have one sign by chance in more than 5 % of samples (2 / 2^5)."""
FEW = 20
"""With fewer cases, a command warns that skewed differences are less certain."""
LEVEL = 0.05
"""Largest p-value of a difference beyond chance."""
_POWER = 0.8
_CUBIC = 1 / 20
"""Factor of the cubic term: Hall's 1/27 makes the corrected t flat at one point; 1/20 lets it always rise."""


def mean_difference(a: ArrayLike, b: ArrayLike) -> Difference:
    """Return the mean of ``a`` minus ``b``, both ``(N,)``, with its 95 % interval and p-value.

    The interval covers Student's interval and the interval of t corrected for skewness (Hall 1992). The p-value is the
    larger of their p-values, at least 2 / 2^N, and below 0.05 exactly if the interval excludes 0. One case gives NaN.

    Example:
        >>> round(mean_difference([3.0, 4.0, 6.0], [2.0, 3.0, 5.0]).value, 6)
        1.0
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise ValueError(f"two lists of one length are needed; got shapes {first.shape} and {second.shape}.")
    with np.errstate(invalid="ignore", over="ignore"):
        apart = first - second
        value, n = float(apart.mean()), len(apart)
        deviation = float(apart.std(ddof=1)) if n > 1 else math.nan
    if not math.isfinite(deviation):
        return Difference(value)
    low, high, p = value, value, float(value == 0)
    if deviation > 0:
        low, high, p = _student(value, apart, deviation)
    p = min(1.0, max(p, 2.0 ** (1 - n)))
    if p >= LEVEL:  # always so with fewer cases than FEWEST
        low, high = min(low, 0.0), max(high, 0.0)
    return Difference(value, low, high, p=p)


def noticed(apart: ArrayLike, level: float = LEVEL, power: float = _POWER) -> float:
    """Return the mean difference for which the share ``power`` of samples have a p-value below ``level``.

    Args:
        apart: Differences ``(N,)``; the samples are like these.
    """
    from scipy.special import stdtrit

    n = len(apart := np.asarray(apart, np.float64))
    quantiles = stdtrit(n - 1, 1 - level / 2) + stdtrit(n - 1, power)
    return float(apart.std(ddof=1) / math.sqrt(n) * quantiles)


def _student(value: float, apart: Array, deviation: float) -> tuple[float, float, float]:
    from scipy.optimize import brentq
    from scipy.special import stdtr, stdtrit

    n = len(apart)
    error = deviation / math.sqrt(n)
    t, quantile = value / error, float(stdtrit(n - 1, 1 - LEVEL / 2))
    skewness = float(np.mean(((apart - value) / deviation) ** 3)) * n**2 / ((n - 1) * (n - 2)) if n > 2 else 0.0
    skew = skewness / math.sqrt(n)  # between -1 and 1

    def corrected(t: float) -> float:
        return t + skew / 6 + skew * t**2 / 3 + _CUBIC * skew**2 * t**3

    def uncorrected(end: float) -> float:
        reach = 4 * quantile + 1  # the slope of corrected is at least 1 - 20/27
        return float(brentq(lambda t: corrected(t) - end, -reach, reach))

    above, below = max(quantile, uncorrected(quantile)), min(-quantile, uncorrected(-quantile))
    p = 2 * float(stdtr(n - 1, -min(abs(t), abs(corrected(t)))))
    return value - error * above, value - error * below, p
