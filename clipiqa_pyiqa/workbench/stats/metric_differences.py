"""Differences between metrics in their agreement with opinions."""

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike

from ...errors import OptionError
from ...text import hint_for
from .arrays import Array
from .correlation import STATISTICS
from .estimate import Estimate
from .resampling import percentiles, statistics_of_resamples
from .significance import LEVEL


def paired_differences(
    scores: ArrayLike,
    mos: ArrayLike,
    statistic: str = "srocc",
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> dict[tuple[int, int], Estimate]:
    """Return (i, j) with i < j -> a statistic of metric i minus that of metric j, from resampled images.

    The p-value is 2 (k + 1) / (resamples + 1), where k is the number of resamples on the other side of zero, but at
    least 2 / 2^K for K different images or groups: with fewer than six, it is above 0.05, and the interval includes 0.

    Args:
        scores: ``(P, N)``, a row per metric, high is good.
        statistic: ``'srocc'``, ``'plcc'``, ``'krcc'`` or ``'pair accuracy'``.
        groups: Number of each image's group ``(N,)``, from 0: groups are resampled whole, not images.
    """
    by_name = {name.lower(): function for name, function in STATISTICS.items()}
    if statistic.lower() not in by_name:
        raise OptionError(f"there is no statistic {statistic!r}: {hint_for(statistic, by_name)}")
    rows = np.asarray(scores, np.float64)
    statistics_of = by_name[statistic.lower()](rows, np.asarray(mos, np.float64))
    group_of = np.arange(rows.shape[1]) if groups is None else np.asarray(groups)
    group_count = int(group_of.max()) + 1
    whole, drawn = statistics_of_resamples(
        group_count, lambda counts: statistics_of(counts[:, group_of]), bootstrap, seed
    )
    different_images = np.unique(np.vstack([rows, mos]), axis=1).shape[1]
    lowest_p = 2.0 ** (1 - min(group_count, different_images))
    return {
        (i, j): _difference(float(whole[i] - whole[j]), drawn[i] - drawn[j], lowest_p)
        for i, j in itertools.combinations(range(len(rows)), 2)
    }


def _difference(difference: float, drawn: Array, lowest_p: float) -> Estimate:
    """Return a difference with the interval and the p-value that differences of resamples ``(b,)`` give it."""
    drawn = drawn[np.isfinite(drawn)]
    low, high = percentiles(drawn)
    p = math.nan
    if len(drawn):
        on_the_other_side = int(min(np.sum(drawn <= 0), np.sum(drawn >= 0)))
        p = min(1.0, max(lowest_p, 2 * (on_the_other_side + 1) / (len(drawn) + 1)))
    if lowest_p >= LEVEL:
        low = min(low, 0.0)
        high = max(high, 0.0)
    return Estimate(difference, low, high, p=p)
