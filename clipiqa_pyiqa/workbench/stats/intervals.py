"""Intervals and p-values: of resampled cases, of shares, and of means of paired differences."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK = 1 << 16  # elements of a (resamples, cases) matrix that fit in a core's cache

FEW = 20
"""With fewer cases, a command warns that skewed differences are less certain."""
LEVEL = 0.05
"""Largest p-value of a difference beyond chance."""
_POWER = 0.8
_UNSEEN_SHARE = 0.1
"""Share of cases that a sample may miss; what these hold may cancel the mean of the others."""
_SUSPICIOUS_MEAN = 1.5
"""If differences repeat and their mean exceeds so many standard deviations, the sample says little of unseen cases."""
ROUNDING = 1e-6
"""Share of a score by which other threads or processors may change it; smaller differences are equal."""
_CUBIC_FACTOR = 1 / 20
"""Factor of the cubic term: Hall's 1/27 makes the corrected t flat at one point; 1/20 lets it always rise."""
Array = NDArray[np.float64]
StatisticsOfCounts = Callable[[Array], Array]
"""A function from how often each case counts, ``(b, N)``, to ``P`` statistics ``(P, b)``."""


@dataclass(frozen=True)
class Estimate:
    """A statistic, or a paired difference (first minus second), with its 95 % interval.

    Attributes:
        low, high: The 2.5 % and 97.5 % percentiles; NaN without an interval.
        caveat: Why the value must not count as the best.
        p: Two-sided p-value for no difference, before :func:`holm` corrects it; NaN if there is none.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    reason: str = ""
    caveat: str = ""
    p: float = math.nan

    def named(self, name: str) -> dict[str, float]:
        """Return the columns ``name``, ``name low`` and ``name high``."""
        return {name: self.value, f"{name} low": self.low, f"{name} high": self.high}

    @property
    def numbers(self) -> tuple[float, float, float, float]:
        """Value, low, high and p."""
        return self.value, self.low, self.high, self.p


def holm(p: ArrayLike) -> Array:
    """Return p-values ``(K,)``, corrected for ``K`` comparisons (Holm 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(stepped, 1)[np.argsort(order)]


def resampled(cases: int, statistics_of: StatisticsOfCounts, bootstrap: int, seed: int) -> tuple[Array, Array]:
    """Return ``P`` statistics of all cases, ``(P,)``, and of each resample, ``(P, bootstrap)``."""
    whole = statistics_of(np.ones((1, cases)))
    none = whole[:, :0]  # for no resamples
    drawn = [statistics_of(counts) for counts in resamples(cases, bootstrap, seed)]
    return whole[:, 0], np.concatenate([none, *drawn], axis=1)


def resamples(cases: int, bootstrap: int, seed: int) -> Iterator[Array]:
    """Yield how often each case is drawn, ``(b, N)`` for b resamples; equal seeds give equal draws."""
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // cases)
    for start in range(0, bootstrap, step):
        size = min(step, bootstrap - start)
        drawn = generator.integers(cases, size=(size, cases)) + cases * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * cases).reshape(size, cases).astype(np.float64)


def estimates(cases: int, statistics_of: StatisticsOfCounts, bootstrap: int, seed: int) -> list[Estimate]:
    """Return ``P`` statistics with intervals; arguments as for :func:`resampled`."""
    whole, drawn = resampled(cases, statistics_of, bootstrap, seed)
    return [Estimate(float(statistic), *percentiles(row)) for statistic, row in zip(whole, drawn, strict=True)]


def percentiles(numbers: Array) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % percentiles of finite numbers."""
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return math.nan, math.nan
    low, high = np.percentile(finite, (2.5, 97.5))
    return float(low), float(high)


def share(right: int, count: int) -> Estimate:
    """Return ``right`` / ``count`` with Wilson's score interval (JASA 1927)."""
    from scipy.stats import binomtest

    if count == 0:
        return Estimate(math.nan, reason="there are no cases")
    interval = binomtest(right, count).proportion_ci(method="wilson")
    return Estimate(right / count, interval.low, interval.high)


def clustered_share(right: ArrayLike, count: ArrayLike) -> Estimate:
    """Return the share of right cases in all groups ``(N,)``, with an interval from resampled groups.

    If the share is 0 or 1, the interval is Wilson's for the number of groups.
    """
    rights, counts = arrays(right, count)
    groups = int(np.count_nonzero(counts))
    if groups == 0:
        return share(0, 0)

    def share_of(draws: Array) -> Array:
        return (draws @ rights / (draws @ counts))[None]

    with np.errstate(invalid="ignore"):  # a resample of groups without cases has no share
        (estimate,) = estimates(len(counts), share_of, 10_000, 0)
    if groups == 1:
        return Estimate(estimate.value)
    if estimate.value in (0, 1):
        return share(int(estimate.value) * groups, groups)
    return estimate


def arrays(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Return two lists of one length as arrays."""
    x = np.asarray(x, np.float64)
    y = np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"two lists of one length are needed; got shapes {x.shape} and {y.shape}.")
    return x, y


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
    reach = abs(estimate.value) / _UNSEEN_SHARE * (1 - LEVEL ** (1 / n))
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
        reach = 4 * quantile + 1  # the slope of corrected is at least 1 - 20/27
        return brentq(lambda t: corrected(t) - corrected_t, -reach, reach)

    low = mean - error * max(quantile, uncorrected(quantile))
    high = mean - error * min(-quantile, uncorrected(-quantile))
    p = 2 * float(stdtr(n - 1, -min(abs(t), abs(corrected(t)))))
    return Estimate(mean, low, high, p=p)


def cases_needed(count: int) -> int:
    """Return how many cases it takes to show one of ``count`` differences; with fewer, 2 / 2^n is too large."""
    return math.floor(math.log2(count / LEVEL)) + 2


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
