"""Agreement of scores with opinions within groups of images, such as the versions of one photo."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, arrays
from .correlation import srocc
from .estimate import Estimate
from .resampling import estimates
from .shares import clustered_share

WITHIN = "SROCC within"
TOP = "top-1 within"


def within(
    scores: ArrayLike, mos: ArrayLike, groups: Sequence[str], *, bootstrap: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """Return the mean of the groups' SROCC, and the share of groups whose best image by score is the best by opinion.

    Intervals are of resampled groups. The mean is of groups with a defined SROCC, the share is of groups with different
    human scores; several best images by score count in part.
    """
    x, y = arrays(scores, mos)
    group_of = np.asarray(groups)
    parts = [(x[group_of == group], y[group_of == group]) for group in dict.fromkeys(groups)]
    rights = [_top_share(scores, opinions) for scores, opinions in parts if np.ptp(opinions) > 0]
    sroccs = np.array([srocc(scores, opinions) for scores, opinions in parts])
    return {
        WITHIN: _mean(sroccs[np.isfinite(sroccs)], bootstrap, seed),
        TOP: clustered_share(rights, np.ones(len(rights)), bootstrap, seed),
    }


def _top_share(scores: Array, opinions: Array) -> float:
    """Return the share of the best images by score that are the best by opinion."""
    return float(np.mean(opinions[scores == scores.max()] == opinions.max()))


def _mean(sroccs: Array, bootstrap: int, seed: int) -> Estimate:
    """Return the mean of the groups' SROCC, ``(G,)``, with an interval of resampled groups."""
    groups = len(sroccs)
    if groups == 0:
        return Estimate(math.nan, reason="no group has a correlation")
    (mean,) = estimates(groups, lambda counts: (counts @ sroccs / groups)[None], bootstrap, seed)
    return Estimate(mean.value) if groups == 1 else mean
