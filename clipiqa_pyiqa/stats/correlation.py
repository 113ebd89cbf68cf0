"""SROCC, PLCC and KRCC with bootstrap intervals, and PLCC after a fit."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import OptionError, counted, nearest
from .intervals import LEVEL, Array, Estimate, Statistics, arrays, clustered_share, estimates, percentiles, resampled

_STEEPEST = 10.0  # largest slope, per standard deviation of the scores: a steeper curve would fit noise
_FLATTEST = 1e-3  # smallest slope: nearly a straight line
_TURN = 1e-3  # a fall of less than this share of the curve's rise does not show in three digits
Of = Callable[[Array, Array], Statistics]
"""A function of scores ``(P, N)`` and human scores ``(N,)``."""


def fit_logistic(scores: ArrayLike, mos: ArrayLike, parameters: int = 4) -> tuple[Callable[[ArrayLike], Array], str]:
    """Return the least-squares logistic curve from scores ``(N,)`` to human scores ``(N,)``.

    Four parameters give the monotone ``f(s) = b1 (1/2 - 1 / (1 + exp(b2 (s - b3)))) + b4``; the fifth adds ``b5 s``
    (Sheikh, Sabir, Bovik, IEEE TIP 2006, Eq. 10).

    Returns:
        The curve, as a function of scores, and its shape between the lowest and the highest score: ``'rising'``,
        ``'falling'`` or ``'not monotonic'``.

    Raises:
        ValueError: There are too few images for the parameters, or no correlation (:func:`undefined`).
    """
    from scipy.optimize import least_squares
    from scipy.special import expit

    x, y = arrays(scores, mos)
    if len(x) <= parameters:
        raise ValueError(f"the logistic fit has {parameters} parameters and needs more images; got {len(x)}")
    if reason := undefined(x, y):
        raise ValueError(f"there is no logistic fit: {reason}")
    unit = np.ptp(y)  # least_squares stops at absolute tolerances
    y = y / unit
    centre, spread = x.mean(), x.std()
    z = (x - centre) / spread  # standardised, so that one grid fits every metric's range

    def terms(z: Array, nonlinear: Sequence[float]) -> Array:
        slope, middle = nonlinear
        return np.stack([0.5 - expit(-slope * (z - middle)), np.ones_like(z), z][: parameters - 2], axis=-1)

    def best_linear(nonlinear: Sequence[float]) -> tuple[Any, Array]:
        known = terms(z, nonlinear)
        linear = np.linalg.lstsq(known, y, rcond=None)[0]
        return linear, known @ linear - y

    low, high = z.min() - 1, z.max() + 1
    middles = np.unique([*np.quantile(z, np.linspace(0, 1, 41)), *np.linspace(low, high, 21)])
    bounds = ([_FLATTEST, low], [_STEEPEST, high])
    starts = [
        min(((slope, middle) for middle in middles), key=lambda point: np.sum(best_linear(point)[1] ** 2))
        for slope in np.geomspace(0.02, _STEEPEST, 8)
    ]
    fits = [least_squares(lambda point: best_linear(point)[1], start, bounds=bounds) for start in starts]
    found = min(fits, key=lambda fit: fit.cost).x
    factors = best_linear(found)[0] * unit

    def curve(values: ArrayLike) -> Array:
        return terms((np.asarray(values, np.float64) - centre) / spread, found) @ factors

    steps = np.diff(curve(np.linspace(x.min(), x.max(), 2000)))
    up, down = steps[steps > 0].sum(), -steps[steps < 0].sum()
    if min(up, down) > _TURN * max(up, down):
        return curve, "not monotonic"
    return curve, "falling" if down > up else "rising"


FITTED = ("PLCC fitted", "RMSE fitted")
WITHIN, TOP = "SROCC within", "top-1 within"
MIN_IMAGES = 3  # with two images every correlation is ±1
_PAIRWISE = 2000  # most images whose pairs are kept in a table


def undefined(x: ArrayLike, y: ArrayLike) -> str:
    """Return why two lists have no correlation, such as 'all scores are 0.5', or ''."""
    x, y = arrays(x, y)
    if len(x) < MIN_IMAGES:
        return f"{counted(len(x), 'image')} with a score, but a correlation needs at least {MIN_IMAGES}"
    for values, what in ((x, "scores"), (y, "opinion scores")):
        if np.isfinite(values).sum() < len(values):
            return f"some {what} are not finite"
        if np.ptp(values) == 0:
            return f"all {what} are {values[0]:.6g}"
    return ""


def plcc(x: ArrayLike, y: ArrayLike) -> float:
    """Return Pearson's linear correlation; NaN where :func:`undefined`."""
    return _of_all(_plccs, x, y)


def srocc(x: ArrayLike, y: ArrayLike) -> float:
    """Return Spearman's rank correlation; ties get their mean rank; NaN where :func:`undefined`."""
    return _of_all(_sroccs, x, y)


def krcc(x: ArrayLike, y: ArrayLike) -> float:
    """Return Kendall's rank correlation, tau-b; NaN where :func:`undefined`."""
    return _of_all(_krccs, x, y)


def _of_all(of: Of, x: ArrayLike, y: ArrayLike) -> float:
    x, y = arrays(x, y)
    return math.nan if undefined(x, y) else of(x[None], y)(np.ones((1, len(x)))).item()


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
    fitted_names = FITTED if fit else ()
    if reason := undefined(x, y):
        return dict.fromkeys((*STATISTICS, *fitted_names), Estimate(math.nan, reason=reason))
    statistics = {name: of(x[None], y) for name, of in STATISTICS.items()}
    if fit:
        try:
            curve, shape = fit_logistic(x, y, fit)
            fitted = curve(x)
            reason = undefined(fitted, y)
        except ValueError as error:
            reason = str(error)
        if not reason:
            statistics["PLCC fitted"] = _plccs(fitted[None], y)
            statistics["RMSE fitted"] = lambda counts: np.sqrt(counts @ (fitted - y) ** 2 / counts.sum(1))[None]
    each = estimates(len(x), lambda counts: np.concatenate([of(counts) for of in statistics.values()]), bootstrap, seed)
    found = dict(zip(statistics, each, strict=True))
    for name in fitted_names:
        caveat = "" if reason or shape == "rising" else f"its fitted curve is {shape}"
        found[name] = Estimate(math.nan, reason=reason) if reason else replace(found[name], caveat=caveat)
    return found


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
    rows, by_name = np.asarray(scores, np.float64), {name.lower(): of for name, of in STATISTICS.items()}
    if statistic.lower() not in by_name:
        raise OptionError(f"there is no statistic {statistic!r}: {nearest(statistic, by_name)}")
    of_counts = by_name[statistic.lower()](rows, np.asarray(mos, np.float64))
    members = np.arange(rows.shape[1]) if groups is None else np.asarray(groups)
    cases = int(members.max()) + 1
    whole, drawn = resampled(cases, lambda counts: of_counts(counts[:, members]), bootstrap, seed)
    different = min(cases, np.unique(np.vstack([rows, mos]), axis=1).shape[1])
    lowest_p = 2.0 ** (1 - different)
    found = {}
    for i, j in itertools.combinations(range(len(rows)), 2):
        apart = drawn[i] - drawn[j]
        apart = apart[np.isfinite(apart)]
        low, high = percentiles(apart)
        p = math.nan
        if len(apart):
            others = int(min(np.sum(apart <= 0), np.sum(apart >= 0)))
            p = min(1.0, max(lowest_p, 2 * (others + 1) / (len(apart) + 1)))
        if lowest_p >= LEVEL:
            low = min(low, 0.0)
            high = max(high, 0.0)
        found[i, j] = Estimate(float(whole[i] - whole[j]), low, high, p=p)
    return found


def within(
    scores: ArrayLike, mos: ArrayLike, groups: Sequence[str], *, bootstrap: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """Return the mean of the groups' SROCC, and the share of groups whose best image by score is the best by opinion.

    Intervals are of resampled groups. Groups without a defined SROCC, or with equal human scores, do not count; several
    best images by score count in part.
    """
    (x, y), of = arrays(scores, mos), np.asarray(groups)
    parts = [(x[of == group], y[of == group]) for group in dict.fromkeys(groups)]
    each = np.array([srocc(*part) for part in parts])
    each = each[np.isfinite(each)]
    mean = Estimate(math.nan, reason="no group has a correlation")
    if len(each):
        (mean,) = estimates(len(each), lambda counts: (counts @ each / len(each))[None], bootstrap, seed)
    if len(each) == 1:
        mean = Estimate(mean.value)
    rights = [np.mean(best[own == own.max()] == best.max()) for own, best in parts if np.ptp(best) > 0]
    return {WITHIN: mean, TOP: clustered_share(rights, np.ones(len(rights)))}


def _weighted_pearson(x: Array, y: Array, counts: Array) -> Array:
    total = counts.sum(1)

    def centred(values: Array) -> Array:
        values = np.broadcast_to(values - values.mean(), counts.shape)
        return values - (np.einsum("bn,bn->b", counts, values) / total)[:, None]

    x, y = centred(x), centred(y)
    xx, yy, xy = (np.einsum("bn,bn,bn->b", counts, a, b) for a, b in ((x, x), (y, y), (x, y)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(xy / np.sqrt(xx * yy), -1, 1)


def _sroccs(scores: Array, mos: Array) -> Statistics:
    ranked, opinion = [_ranked(row) for row in scores], _ranked(mos)

    def of_counts(counts: Array) -> Array:
        known = opinion(counts)
        return np.array([_weighted_pearson(ranks(counts), known, counts) for ranks in ranked])

    return of_counts


def _plccs(scores: Array, mos: Array) -> Statistics:
    return lambda counts: np.array([_weighted_pearson(row, mos, counts) for row in scores])


def _krccs(scores: Array, mos: Array) -> Statistics:
    def terms(x: Array, y: Array) -> list[Any]:
        return [np.sign(x) * np.sign(y), x != 0, y != 0]

    return _of_pairs(scores, mos, terms, lambda concordant, x, y: concordant / np.sqrt(x * y))


def _accuracies(scores: Array, mos: Array) -> Statistics:
    least = np.std(mos)

    def terms(x: Array, y: Array) -> list[Any]:
        clear = abs(y) >= least
        return [clear * (1 + np.sign(x) * np.sign(y)) / 2, clear]  # equal scores are half right

    return _of_pairs(scores, mos, terms, np.divide)


def _of_pairs(
    scores: Array, mos: Array, terms: Callable[[Array, Array], list[Any]], combined: Callable[..., Array]
) -> Statistics:
    """Return the function that combines the sums of terms over all pairs of images."""
    step = _PAIRWISE**2 // len(mos) if len(mos) > _PAIRWISE else len(mos)

    def sums(x: Array) -> Statistics:
        blocks = (
            np.array(terms(x[at : at + step, None] - x, mos[at : at + step, None] - mos))  # (K, step, N)
            for at in range(0, len(x), step)
        )
        if step == len(x):
            table = next(blocks)
            return lambda counts: np.einsum("bn,kbn->kb", counts, counts @ table)
        of_each = np.concatenate([block.sum(2) for block in blocks], axis=1)  # (K, N)
        # what is not linear in the counts is left out: 1 / N of the whole
        return lambda counts: 2 * of_each @ counts.T - of_each.sum(1, keepdims=True)

    each = [sums(row) for row in scores]

    def of_counts(counts: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.array([combined(*of_pairs(counts)) for of_pairs in each])

    return of_counts


def _ranked(values: Array) -> Callable[[Array], Array]:
    order = np.argsort(values, kind="stable")
    _, starts = np.unique(values[order], return_index=True)
    _, group = np.unique(values, return_inverse=True)

    def of_counts(counts: Array) -> Array:
        tied = np.add.reduceat(counts[:, order], starts, axis=1)  # (b, distinct values)
        return (np.cumsum(tied, 1) - (tied - 1) / 2)[:, group]  # ties have their mean rank

    return of_counts


STATISTICS: dict[str, Of] = {"SROCC": _sroccs, "PLCC": _plccs, "KRCC": _krccs, "pair accuracy": _accuracies}
"""Statistics of :func:`correlations`.

Pair accuracy is the share of pairs of images in the right order, of those whose human scores differ by at least one
standard deviation.
"""
