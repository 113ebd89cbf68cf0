"""The bootstrap: statistics of resampled cases, and their percentiles."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from .arrays import Array
from .estimate import Estimate

_CHUNK = 1 << 16  # elements of a (resamples, cases) matrix that fit in a core's cache
StatisticsOfCounts = Callable[[Array], Array]
"""A function from how often each case counts, ``(b, N)``, to ``P`` statistics ``(P, b)``."""


def statistics_of_resamples(
    cases: int, statistics_of: StatisticsOfCounts, bootstrap: int, seed: int
) -> tuple[Array, Array]:
    """Return ``P`` statistics of all cases, ``(P,)``, and of each resample, ``(P, bootstrap)``."""
    of_all_cases = statistics_of(np.ones((1, cases)))
    of_no_resamples = of_all_cases[:, :0]  # so that there is something to join without resamples
    of_resamples = [statistics_of(counts) for counts in draws(cases, bootstrap, seed)]
    return of_all_cases[:, 0], np.concatenate([of_no_resamples, *of_resamples], axis=1)


def draws(cases: int, bootstrap: int, seed: int) -> Iterator[Array]:
    """Yield how often each case is drawn, ``(b, N)`` for b resamples; equal seeds give equal draws."""
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // cases)
    for start in range(0, bootstrap, step):
        size = min(step, bootstrap - start)
        drawn_cases = generator.integers(cases, size=(size, cases))
        # the cases of each resample get numbers of their own, so that all are counted at once
        numbers = drawn_cases + cases * np.arange(size)[:, None]
        yield np.bincount(numbers.ravel(), minlength=size * cases).reshape(size, cases).astype(np.float64)


def estimates(cases: int, statistics_of: StatisticsOfCounts, bootstrap: int, seed: int) -> list[Estimate]:
    """Return ``P`` statistics with intervals; arguments as for :func:`statistics_of_resamples`."""
    whole, of_resamples = statistics_of_resamples(cases, statistics_of, bootstrap, seed)
    return [Estimate(float(statistic), *percentiles(row)) for statistic, row in zip(whole, of_resamples, strict=True)]


def percentiles(numbers: Array) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % percentiles of finite numbers."""
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return math.nan, math.nan
    low, high = np.percentile(finite, (2.5, 97.5))
    return float(low), float(high)
