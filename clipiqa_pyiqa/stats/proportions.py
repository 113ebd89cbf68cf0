"""Shares with 95 % intervals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .bootstrap import Estimate, interval, resampled


def share(right: int, count: int) -> Estimate:
    """Return ``right`` / ``count`` with Wilson's score interval (JASA 1927)."""
    from scipy.stats import binomtest

    if count == 0:
        return Estimate(math.nan, reason="there are no cases")
    interval = binomtest(right, count).proportion_ci(0.95, method="wilson")
    return Estimate(right / count, float(interval.low), float(interval.high))


def clustered_share(right: ArrayLike, count: ArrayLike, *, bootstrap: int = 10_000, seed: int = 0) -> Estimate:
    """Return the share of right cases in all groups ``(N,)``, with an interval from resampled groups.

    If the share is 0 or 1, the interval is Wilson's for the number of groups.
    """
    rights, counts = np.asarray(right, np.float64), np.asarray(count, np.float64)
    if counts.sum() == 0:
        return Estimate(math.nan, reason="there are no cases")
    groups = int(np.count_nonzero(counts))
    with np.errstate(invalid="ignore"):  # a resample of groups without cases has no share
        whole, drawn = resampled(len(counts), lambda n: (n @ rights / (n @ counts))[None], bootstrap, seed)
    value = float(whole[0])
    if groups == 1:
        return Estimate(value)
    return share(int(value) * groups, groups) if value in (0, 1) else Estimate(value, *interval(drawn[0]))
