"""Means of paired differences, with intervals and p-values, and the differences that a sample can show."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, arrays
from .estimate import Estimate
from .significance import LEVEL, cases_needed

FEW = 20
"""With fewer cases, a command warns that skewed differences are less certain."""
_POWER = 0.8
_UNSEEN_SHARE = 0.1
"""Share of cases that a sample may miss; what these hold may cancel the mean of the others."""
_SUSPICIOUS_MEAN = 1.5
"""If differences repeat and their mean exceeds so many standard deviations, the sample says little of unseen cases."""
ROUNDING = 1e-6
"""Share of a score by which other threads or processors may change it; smaller differences are equal."""
_CUBIC_FACTOR = 1 / 20
"""Factor of the cubic term: Hall's 1/27 makes the corrected t flat at one point; 1/20 lets it always rise."""


def mean_difference(a: ArrayLike, b: ArrayLike) -> Estimate:
    """Return the mean of ``a`` minus ``b``, both ``(N,)``, with its 95 % interval and p-value.

    The interval covers Student's and that of t corrected for skewness (Hall 1992). The p-value is the larger of their
    p-values, at least 2 / 2^N, and below 0.05 exactly if the interval excludes 0. One case gives NaN.

    If differences repeat, and their mean is more than 1.5 standard deviations from 0, all of them may have missed a
    tenth of the cases, which may differ otherwise. Then p is at least the smaller of 2 / 2^K, for K different
    differences, and 0.9^N. If K is below 6, there is a ``caveat``, and the interval has room for an unseen share of
    cases that differ by ten times the mean.

    Example:
        >>> round(mean_difference([3.0, 4.0, 6.0], [2.0, 3.0, 5.0]).value, 6)
        1.0
    """
    first, second = arrays(a, b)
    n = len(first)
    with np.errstate(invalid="ignore", over="ignore"):
        differences = first - second
        mean = float(differences.mean())
        deviation = float(differences.std(ddof=1)) if n > 1 else math.nan
    if not math.isfinite(deviation):
        return Estimate(mean)
    if deviation > 0:
        estimate = _students(differences, mean, deviation)
    else:
        estimate = Estimate(mean, mean, mean, p=1.0 if mean == 0 else 0.0)
    estimate = replace(estimate, p=max(estimate.p, 2.0 ** (1 - n)))
    different = _count_of_different(first, second)
    if different < n and abs(mean) > _SUSPICIOUS_MEAN * deviation:
        estimate = _estimate_of_repeated(estimate, different, n)
    p = min(estimate.p, 1.0)
    if p < LEVEL:
        return replace(estimate, p=p)
    # always so with fewer than six cases
    return replace(estimate, p=p, low=min(estimate.low, 0.0), high=max(estimate.high, 0.0))


def _count_of_different(first: Array, second: Array) -> int:
    """Return how many differences there are that differ by more than rounding."""
    rounding = ROUNDING * float(np.median(np.maximum(abs(first), abs(second))))
    return 1 + int(np.count_nonzero(np.diff(np.sort(first - second)) > rounding))


def _estimate_of_repeated(estimate: Estimate, different: int, n: int) -> Estimate:
    """Return the estimate of a mean where ``n`` differences have only a number of ``different`` values."""
    p = max(estimate.p, min(2.0 ** (1 - different), (1 - _UNSEEN_SHARE) ** n))
    if different >= cases_needed(1):
        return replace(estimate, p=p)
    alike = "are equal" if different == 1 else f"have only {different} values"
    # A share s of cases is missed by all n with the probability (1 - s)^n, so a larger share than this is implausible.
    largest_unseen_share = 1 - LEVEL ** (1 / n)
    # If a share of _UNSEEN_SHARE cancelled the mean, its cases would differ by so much.
    unseen_difference = abs(estimate.value) / _UNSEEN_SHARE
    reach = largest_unseen_share * unseen_difference
    return replace(
        estimate,
        low=min(estimate.low, estimate.value - reach),
        high=max(estimate.high, estimate.value + reach),
        caveat=f"the {n} differences {alike}, so different ones may be missing",
        p=p,
    )


def _students(differences: Array, mean: float, deviation: float) -> Estimate:
    """Return the mean with the wider interval and the larger p-value of two: Student's, and corrected for skewness."""
    from scipy.optimize import brentq
    from scipy.special import stdtr, stdtrit

    n = len(differences)
    error = deviation / math.sqrt(n)
    t = mean / error
    quantile = float(stdtrit(n - 1, 1 - LEVEL / 2))
    skewness = 0.0
    if n > 2:
        skewness = float(np.mean(((differences - mean) / deviation) ** 3)) * n**2 / ((n - 1) * (n - 2))
    skew = skewness / math.sqrt(n)  # between -1 and 1

    def corrected(t: float) -> float:
        return t + skew / 6 + skew * t**2 / 3 + _CUBIC_FACTOR * skew**2 * t**3

    def uncorrected(corrected_t: float) -> float:
        bound = 4 * quantile + 1  # the slope of corrected is at least 1 - 20/27, so the root lies within
        return brentq(lambda t: corrected(t) - corrected_t, -bound, bound)

    low = mean - error * max(quantile, uncorrected(quantile))
    high = mean - error * min(-quantile, uncorrected(-quantile))
    p = 2 * float(stdtr(n - 1, -min(abs(t), abs(corrected(t)))))
    return Estimate(mean, low, high, p=p)


def detectable_difference(differences: ArrayLike, level: float = LEVEL, power: float = _POWER) -> float:
    """Return the mean difference for which the share ``power`` of samples have a p-value below ``level``.

    Args:
        differences: ``(N,)``; the samples are like these.
    """
    from scipy.special import stdtrit

    sample = np.asarray(differences, np.float64)
    n = len(sample)
    quantiles = stdtrit(n - 1, 1 - level / 2) + stdtrit(n - 1, power)
    return float(sample.std(ddof=1) / math.sqrt(n) * quantiles)
