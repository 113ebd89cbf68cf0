"""SROCC, PLCC and KRCC with bootstrap intervals, and PLCC after a fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..errors import counted
from .bootstrap import Array, Estimate, Statistic, interval, resampled
from .logistic import fit_logistic

MIN_IMAGES = 3  # with two images every correlation is ±1
_PAIRWISE = 2000  # up to this many images, a table of all pairs is faster than scipy


def undefined(x: ArrayLike, y: ArrayLike) -> str:
    """Return why two lists have no correlation, such as 'all scores are 0.5', or ''."""
    x, y = _arrays(x, y)
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
    x, y = _arrays(x, y)
    return math.nan if undefined(x, y) else float(_weighted_pearson(x, y, np.ones((1, len(x))))[0])


def srocc(x: ArrayLike, y: ArrayLike) -> float:
    """Return Spearman's rank correlation; ties get their mean rank; NaN where :func:`undefined`."""
    from scipy.stats import rankdata

    return math.nan if undefined(x, y) else plcc(rankdata(x), rankdata(y))


def krcc(x: ArrayLike, y: ArrayLike) -> float:
    """Return Kendall's rank correlation, tau-b; NaN where :func:`undefined`."""
    from scipy.stats import kendalltau

    return math.nan if undefined(x, y) else float(kendalltau(x, y).statistic)


def correlations(
    scores: ArrayLike, mos: ArrayLike, *, bootstrap: int = 1000, seed: int = 0, fit: int = 0
) -> dict[str, Estimate]:
    """Return correlations of scores with human scores, with intervals from resampled images.

    Args:
        scores: ``(N,)``, high is good.
        mos: ``(N,)``, human scores.
        bootstrap: Number of resamples; 0 for no intervals.
        fit: Number of parameters, 4 or 5, of a logistic curve fitted to all images; 0 for no fit.

    Returns:
        Estimates of ``SROCC``, ``PLCC``, ``KRCC`` and, with a fit, ``PLCC fitted`` and ``RMSE fitted``; the last two
        have a caveat if the curve does not rise.
    """
    x, y = _arrays(scores, mos)
    fitted_names = ("PLCC fitted", "RMSE fitted") if fit else ()
    if reason := undefined(x, y):
        return dict.fromkeys(("SROCC", "PLCC", "KRCC", *fitted_names), Estimate(math.nan, reason=reason))
    ranks_x, ranks_y = _ranked(x), _ranked(y)
    statistics: dict[str, Callable[[Array], Array]] = {
        "SROCC": lambda counts: _weighted_pearson(ranks_x(counts), ranks_y(counts), counts),
        "PLCC": lambda counts: _weighted_pearson(x, y, counts),
        "KRCC": _krcc_with(x, y),
    }
    caveat = ""
    if fit:
        try:
            curve, shape = fit_logistic(x, y, fit)
            fitted = curve(x)
            reason = undefined(fitted, y)
            caveat = "" if shape == "rising" else f"its fitted curve is {shape}"
        except ValueError as error:
            reason = str(error)
        if not reason:
            statistics["PLCC fitted"] = lambda counts: _weighted_pearson(fitted, y, counts)
            statistics["RMSE fitted"] = lambda counts: np.sqrt(counts @ (fitted - y) ** 2 / counts.sum(1))
    all_of_them = statistics.values()
    whole, drawn = resampled(len(x), lambda counts: np.array([each(counts) for each in all_of_them]), bootstrap, seed)
    found = {
        name: Estimate(float(value), *interval(values))
        for name, value, values in zip(statistics, whole, drawn, strict=True)
    }
    for name in fitted_names:
        found[name] = Estimate(math.nan, reason=reason) if reason else replace(found[name], caveat=caveat)
    return found


def srocc_with(mos: ArrayLike) -> Statistic:
    """Return a function for :func:`~.bootstrap.paired_differences` that computes SROCC with human scores ``(N,)``."""
    opinion = _ranked(np.asarray(mos, np.float64))

    def of_scores(scores: Array) -> Callable[[Array], Array]:
        ranked = [_ranked(row) for row in scores]

        def of_counts(counts: Array) -> Array:
            known = opinion(counts)
            return np.array([_weighted_pearson(ranks(counts), known, counts) for ranks in ranked])

        return of_counts

    return of_scores


def srocc_of_many(scores: ArrayLike, mos: ArrayLike, *, bootstrap: int = 1000, seed: int = 0) -> list[Estimate]:
    """Return the SROCC of each column of scores ``(N, P)``, with intervals."""
    columns = np.asarray(scores, np.float64).T
    reasons = [undefined(column, mos) for column in columns]
    whole, drawn = resampled(columns.shape[1], srocc_with(mos)(columns), bootstrap, seed)
    return [
        Estimate(math.nan, reason=reason) if reason else Estimate(float(value), *interval(row))
        for value, row, reason in zip(whole, drawn, reasons, strict=True)
    ]


def srocc_within(
    scores: ArrayLike, mos: ArrayLike, groups: Sequence[str], *, bootstrap: int = 1000, seed: int = 0
) -> Estimate:
    """Return the mean over groups of the SROCC within a group, with an interval from resampled groups.

    Groups where the SROCC is undefined do not count.
    """
    (x, y), of = _arrays(scores, mos), np.asarray(groups)
    each = np.array([srocc(x[of == group], y[of == group]) for group in dict.fromkeys(groups)])
    each = each[np.isfinite(each)]
    if not len(each):
        return Estimate(math.nan, reason="no group has a correlation")
    (value,), drawn = resampled(len(each), lambda counts: (counts @ each / len(each))[None], bootstrap, seed)
    return Estimate(float(value), *(interval(drawn[0]) if len(each) > 1 else ()))


def _arrays(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"scores and human scores must be lists of one length; got shapes {x.shape} and {y.shape}.")
    return x, y


def _weighted_pearson(x: Array, y: Array, counts: Array) -> Array:
    total = counts.sum(1)

    def centred(values: Array) -> Array:
        values = np.broadcast_to(values - values.mean(), counts.shape)
        return values - (np.einsum("bn,bn->b", counts, values) / total)[:, None]

    x, y = centred(x), centred(y)
    xx, yy, xy = (np.einsum("bn,bn,bn->b", counts, a, b) for a, b in ((x, x), (y, y), (x, y)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(xy / np.sqrt(xx * yy), -1, 1)


def _krcc_with(x: Array, y: Array) -> Callable[[Array], Array]:
    if len(x) > _PAIRWISE:
        return lambda counts: np.array([krcc(np.repeat(x, c), np.repeat(y, c)) for c in counts.astype(int)])
    x, y = (np.sign(values[:, None] - values) for values in (x, y))
    tables = np.stack([x * y, x * x, y * y])  # (3, N, N)

    def of_counts(counts: Array) -> Array:
        concordant, untied_x, untied_y = np.einsum("bn,kbn->kb", counts, counts @ tables)
        with np.errstate(invalid="ignore"):
            return concordant / np.sqrt(untied_x * untied_y)

    return of_counts


def _ranked(values: Array) -> Callable[[Array], Array]:
    order = np.argsort(values, kind="stable")
    _, starts = np.unique(values[order], return_index=True)
    _, group = np.unique(values, return_inverse=True)

    def of_counts(counts: Array) -> Array:
        tied = np.add.reduceat(counts[:, order], starts, axis=1)  # (b, distinct values)
        return (np.cumsum(tied, 1) - (tied - 1) / 2)[:, group]  # ties have their mean rank

    return of_counts
