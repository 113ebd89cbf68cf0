"""Agreement of scores with opinions: correlations with intervals, also after a fit, and differences between metrics."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ...errors import OptionError
from ...text import hint_for
from .correlation import STATISTICS, plccs, srocc, why_undefined
from .estimate import Array, Estimate, arrays
from .logistic import fit_logistic
from .resampling import estimates, percentiles, statistics_of_resamples
from .shares import clustered_share
from .significance import LEVEL

FITTED = ("PLCC fitted", "RMSE fitted")
WITHIN = "SROCC within"
TOP = "top-1 within"


def correlations(
    scores: ArrayLike, mos: ArrayLike, *, bootstrap: int = 1000, seed: int = 0, fit: int = 0
) -> dict[str, Estimate]:
    """Return correlations of scores ``(N,)``, high is good, with human scores; intervals are of resampled images.

    Args:
        bootstrap: Number of resamples; 0 for no intervals.
        fit: Number of parameters, 4 or 5, of a logistic curve fitted to all images; 0 for no fit.

    Returns:
        Estimates of ``STATISTICS`` and, with a fit, ``PLCC fitted`` and ``RMSE fitted``; the last two
        have a caveat if the curve does not rise.
    """
    x, y = arrays(scores, mos)
    reason = why_undefined(x, y)
    if reason:
        names = [*STATISTICS, *FITTED] if fit else [*STATISTICS]
        return dict.fromkeys(names, Estimate(math.nan, reason=reason))
    statistics = {name: statistic(x[None], y) for name, statistic in STATISTICS.items()}
    shape = ""
    if fit:
        try:
            fitted, shape = _fitted_scores(x, y, fit)
        except ValueError as error:
            reason = str(error)
        else:
            squared_errors = (fitted - y) ** 2
            statistics["PLCC fitted"] = plccs(fitted[None], y)
            statistics["RMSE fitted"] = lambda counts: np.sqrt(counts @ squared_errors / counts.sum(1))[None]

    def statistics_of(counts: Array) -> Array:
        return np.concatenate([statistic_of(counts) for statistic_of in statistics.values()])

    named = dict(zip(statistics, estimates(len(x), statistics_of, bootstrap, seed), strict=True))
    if reason:
        named |= dict.fromkeys(FITTED, Estimate(math.nan, reason=reason))
    elif fit and shape != "rising":
        named |= {name: replace(named[name], caveat=f"its fitted curve is {shape}") for name in FITTED}
    return named


def _fitted_scores(x: Array, y: Array, parameters: int) -> tuple[Array, str]:
    """Return the heights of the fitted curve at the scores, and its shape; raise ``ValueError`` without a fit."""
    curve, shape = fit_logistic(x, y, parameters)
    fitted = curve(x)
    reason = why_undefined(fitted, y)
    if reason:
        raise ValueError(reason)
    return fitted, shape


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
