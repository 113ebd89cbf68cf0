"""SROCC, PLCC and KRCC with bootstrap intervals, and PLCC after a fit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import counted
from .bootstrap import Array, Estimate, Statistic, interval, resampled, resamples
from .logistic import fit_logistic

MIN_IMAGES = 3  # with two images every correlation is ±1
_PAIRWISE = 20_000  # up to this many images, matrix multiplication counts Kendall's pairs
_ROWS = 512  # rows of the matrix of pairs in memory at a time


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
    """Return Spearman's rank correlation, ties at their mean rank; NaN where :func:`undefined`."""
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
        fit: Number of parameters, 4 or 5, of a logistic curve on all images; 0 for no fit.

    Returns:
        ``SROCC``, ``PLCC``, ``KRCC`` and, with a fit, ``PLCC fitted`` and ``RMSE fitted``, which have a caveat
        if the curve does not rise.
    """
    x, y = _arrays(scores, mos)
    fitted_names = ["PLCC fitted", "RMSE fitted"] if fit else []
    if reason := undefined(x, y):
        return {name: Estimate(math.nan, reason=reason) for name in ("SROCC", "PLCC", "KRCC", *fitted_names)}
    ranks_x, ranks_y = _Ranks(x), _Ranks(y)
    statistics: dict[str, Callable[[Array], Array]] = {
        "SROCC": lambda counts: _weighted_pearson(ranks_x(counts), ranks_y(counts), counts),
        "PLCC": lambda counts: _weighted_pearson(x, y, counts),
        "KRCC": _Pairs(x, y),
    }
    unfit = caveat = ""
    if fit:
        try:
            curve = fit_logistic(x, y, fit)
            fitted = curve(x)
            unfit, shape = undefined(fitted, y), curve.shape
            caveat = "" if shape == "rising" else f"its fitted curve is {shape}"
        except ValueError as error:
            unfit = str(error)
        if not unfit:
            statistics["PLCC fitted"] = lambda counts: _weighted_pearson(fitted, y, counts)
            statistics["RMSE fitted"] = lambda counts: np.sqrt(counts @ (fitted - y) ** 2 / counts.sum(1))
    drawn = {name: [np.empty(0)] for name in statistics}
    for counts in resamples(len(x), bootstrap, seed):
        for name, statistic in statistics.items():
            drawn[name].append(statistic(counts))
    found = {name: Estimate(math.nan, reason=unfit) for name in fitted_names}
    for name, statistic in statistics.items():
        value = float(statistic(np.ones((1, len(x))))[0])
        ends = interval(np.concatenate(drawn[name]))
        found[name] = Estimate(value, *ends, caveat=caveat if name in fitted_names else "")
    return {name: found[name] for name in ("SROCC", "PLCC", "KRCC", *fitted_names)}


def srocc_with(mos: ArrayLike) -> Statistic:
    """Return SROCC with human scores ``(N,)`` as a statistic for :func:`~.bootstrap.paired_differences`."""
    opinion = _Ranks(np.asarray(mos, np.float64))
    mean = (len(opinion.group) + 1) / 2  # mean rank in every resample

    def of_scores(scores: Array) -> Callable[[Array], Array]:
        ranked = [_Ranks(row) for row in scores]

        def of_counts(counts: Array) -> Array:
            weighted = opinion(counts) - mean
            yy = np.einsum("bn,bn,bn->b", counts, weighted, weighted)
            weighted *= counts
            found = np.empty((len(ranked), len(counts)))
            for row, ranks in zip(found, ranked, strict=True):
                x = ranks(counts) - mean
                xx, xy = np.einsum("bn,bn,bn->b", counts, x, x), np.einsum("bn,bn->b", weighted, x)
                with np.errstate(divide="ignore", invalid="ignore"):
                    row[:] = xy / np.sqrt(xx * yy)
            return found

        return of_counts

    return of_scores


def srocc_of_many(scores: ArrayLike, mos: ArrayLike, *, bootstrap: int = 1000, seed: int = 0) -> list[Estimate]:
    """Return the SROCC of each column of scores ``(N, P)``."""
    columns = np.asarray(scores, np.float64).T
    reasons = [undefined(column, mos) for column in columns]
    _, drawn = resampled(columns, srocc_with(mos), bootstrap, seed)
    return [
        Estimate(math.nan, reason=reason) if reason else Estimate(srocc(column, mos), *interval(row))
        for column, row, reason in zip(columns, drawn, reasons, strict=True)
    ]


def _arrays(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"scores and human scores must be lists of one length; got shapes {x.shape} and {y.shape}.")
    return x, y


def _weighted_pearson(x: Array, y: Array, counts: Array) -> Array:
    total = counts.sum(1)

    def centred(values: Array) -> Array:
        values = np.broadcast_to(values - values.mean(-1, keepdims=True), counts.shape)
        return values - (np.einsum("bn,bn->b", counts, values) / total)[:, None]

    x, y = centred(x), centred(y)
    xx, yy, xy = (np.einsum("bn,bn,bn->b", counts, a, b) for a, b in ((x, x), (y, y), (x, y)))
    defined = (xx > 0) & (yy > 0)
    quotient = xy / np.sqrt(np.where(defined, xx * yy, 1))
    return np.where(defined, np.clip(quotient, -1, 1), np.nan)


class _Ranks:
    """Ranks within resamples, from values sorted once."""

    def __init__(self, values: Array) -> None:
        _, self.group, self.sizes = np.unique(values, return_inverse=True, return_counts=True)
        self.order = np.argsort(self.group, kind="stable")
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])

    def tied(self, counts: Array) -> Array:
        """Return how often each distinct value was drawn, ``(b, G)``."""
        return np.add.reduceat(counts[:, self.order], self.starts, axis=1)

    def __call__(self, counts: Array) -> Array:
        tied = self.tied(counts)
        return (np.cumsum(tied, 1) - (tied - 1) / 2)[:, self.group]  # ties have their mean rank


class _Pairs:
    """Kendall's tau-b of each resample."""

    def __init__(self, x: Array, y: Array) -> None:
        self.x, self.y = x, y
        self.ranks = _Ranks(x), _Ranks(y)

    def __call__(self, counts: Array) -> Array:
        if len(self.x) > _PAIRWISE:
            return self._one_by_one(counts)
        weights = counts.astype(np.float32)
        balance = np.zeros(len(counts))  # twice the concordant minus the discordant pairs
        for start in range(0, len(self.x), _ROWS):
            rows = slice(start, start + _ROWS)
            concordance = (_signs(self.x, rows) * _signs(self.y, rows)).astype(np.float32)  # (rows, N)
            balance += np.einsum("br,br->b", weights @ concordance.T, counts[:, rows], dtype=np.float64)
        total = counts.sum(1) * (counts.sum(1) - 1)
        untied = [total - (tied * (tied - 1)).sum(1) for tied in (ranks.tied(counts) for ranks in self.ranks)]
        norm = np.sqrt(untied[0] * untied[1])
        return np.where(norm > 0, balance / np.where(norm > 0, norm, 1), np.nan)

    def _one_by_one(self, counts: Array) -> Array:
        repeats = counts.astype(int)
        return np.array([krcc(np.repeat(self.x, c), np.repeat(self.y, c)) for c in repeats])


def _signs(values: Array, rows: slice) -> NDArray[np.int8]:
    these = values[rows, None]
    return (these > values).astype(np.int8) - (these < values).astype(np.int8)  # 1, 0 or -1
