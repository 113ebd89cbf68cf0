"""Bootstrap over cases: percentile intervals, corrected p-values, and shares with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK = 1 << 16  # elements of a (resamples, cases) matrix that fit in a core's cache

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval.

    Attributes:
        low, high: The 2.5 % and 97.5 % percentiles; NaN without an interval.
        caveat: Why the value must not count as the best.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    reason: str = ""
    caveat: str = ""

    def named(self, name: str) -> dict[str, float]:
        """Return the columns ``name``, ``name low`` and ``name high``."""
        return {name: self.value, f"{name} low": self.low, f"{name} high": self.high}


@dataclass(frozen=True)
class Difference(Estimate):
    """A paired difference, first minus second.

    Attributes:
        p: Two-sided p-value for no difference, before :func:`holm` corrects it; NaN without a bootstrap.
    """

    p: float = math.nan


def holm(p: ArrayLike) -> Array:
    """Return p-values ``(K,)``, corrected for ``K`` comparisons (Holm 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def resampled(cases: int, of_counts: Callable[[Array], Array], bootstrap: int, seed: int) -> tuple[Array, Array]:
    """Return ``P`` statistics of all cases, ``(P,)``, and of each resample, ``(P, bootstrap)``.

    ``of_counts`` maps counts of drawn cases ``(b, N)`` to the statistics ``(P, b)``.
    """
    whole = of_counts(np.ones((1, cases)))
    drawn = [of_counts(counts) for counts in resamples(cases, bootstrap, seed)]
    return whole[:, 0], np.concatenate([whole[:, :0], *drawn], axis=1)


def resamples(cases: int, bootstrap: int, seed: int) -> Iterator[Array]:
    """Yield how often each case is drawn, ``(b, N)`` for b resamples; equal seeds give equal draws."""
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // cases)
    for start in range(0, bootstrap, step):
        size = min(step, bootstrap - start)
        drawn = generator.integers(cases, size=(size, cases)) + cases * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * cases).reshape(size, cases).astype(np.float64)


def interval(values: Array) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % percentiles of finite values."""
    values = values[np.isfinite(values)]
    if not len(values):
        return math.nan, math.nan
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def share(right: int, count: int) -> Estimate:
    """Return ``right`` / ``count`` with Wilson's score interval (JASA 1927)."""
    from scipy.stats import binomtest

    if count == 0:
        return Estimate(math.nan, reason="there are no cases")
    interval = binomtest(right, count).proportion_ci(0.95, method="wilson")
    return Estimate(right / count, float(interval.low), float(interval.high))


def clustered_share(right: ArrayLike, count: ArrayLike) -> Estimate:
    """Return the share of right cases in all groups ``(N,)``, with an interval from resampled groups.

    If the share is 0 or 1, the interval is Wilson's for the number of groups.
    """
    rights, counts = np.asarray(right, np.float64), np.asarray(count, np.float64)
    if counts.sum() == 0:
        return Estimate(math.nan, reason="there are no cases")
    groups = int(np.count_nonzero(counts))
    with np.errstate(invalid="ignore"):  # a resample of groups without cases has no share
        whole, drawn = resampled(len(counts), lambda n: (n @ rights / (n @ counts))[None], 10_000, 0)
    value = float(whole[0])
    if groups == 1:
        return Estimate(value)
    return share(int(value) * groups, groups) if value in (0, 1) else Estimate(value, *interval(drawn[0]))
