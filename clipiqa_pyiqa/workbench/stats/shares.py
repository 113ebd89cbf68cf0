"""Shares of right cases, with intervals."""

import math

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, arrays
from .estimate import Estimate
from .resampling import estimates


def share(right: int, count: int) -> Estimate:
    """Return ``right`` / ``count`` with Wilson's score interval (JASA 1927)."""
    from scipy.stats import binomtest

    if count == 0:
        return Estimate(math.nan, reason="there are no cases")
    interval = binomtest(right, count).proportion_ci(method="wilson")
    return Estimate(right / count, interval.low, interval.high)


def clustered_share(right: ArrayLike, count: ArrayLike, bootstrap: int = 10_000, seed: int = 0) -> Estimate:
    """Return the share of right cases in all groups ``(N,)``, with an interval from resampled groups.

    If the share is 0 or 1, the interval is Wilson's for the number of groups. Without resamples there is none.
    """
    rights, counts = arrays(right, count)
    groups = int(np.count_nonzero(counts))
    if groups == 0:
        return share(0, 0)

    def share_of(draws: Array) -> Array:
        return (draws @ rights / (draws @ counts))[None]

    with np.errstate(invalid="ignore"):  # a resample of groups without cases has no share
        (estimate,) = estimates(len(counts), share_of, bootstrap, seed)
    if groups == 1 or not bootstrap:
        return Estimate(estimate.value)
    if estimate.value in (0, 1):
        return share(int(estimate.value) * groups, groups)
    return estimate
