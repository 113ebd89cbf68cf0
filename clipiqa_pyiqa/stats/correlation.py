"""Correlation of scores with opinion: SROCC, PLCC and KRCC with bootstrap intervals, and the VQEG logistic fit.

All functions leave the sign alone; :mod:`.comparison` orients scores so that a good metric is positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_IMAGES = 3  # of two images every correlation is ±1
_CHUNK = 1 << 22  # elements of a (resamples, images) matrix that are worked on at a time
_CACHED = 1 << 16  # likewise, where it should stay in a core's cache
_PAIRWISE = 20_000  # images up to which Kendall's pairs are counted by matrix multiplication
_ROWS = 512  # rows of the matrix of pairs that exist at a time

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % bootstrap interval.

    Attributes:
        value: NaN where it is undefined.
        low: The 2.5 % percentile over resampled images; NaN where there is no interval.
        high: The 97.5 % percentile.
        reason: Why the value is undefined, as part of a sentence; empty where it is defined.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    reason: str = ""


def undefined(x: ArrayLike, y: ArrayLike) -> str:
    """Why these two have no correlation, as part of a sentence ('all scores are 0.5'); empty if they have one."""
    x, y = _arrays(x, y)
    if len(x) < MIN_IMAGES:
        return f"{len(x)} image{'s' * (len(x) != 1)} with a score, but a correlation needs at least {MIN_IMAGES}"
    for values, what in ((x, "scores"), (y, "opinion scores")):
        if np.isfinite(values).sum() < len(values):
            return f"some {what} are not finite"
        if np.ptp(values) == 0:
            return f"all {what} are {values[0]:.6g}"
    return ""


def plcc(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's linear correlation; NaN where :func:`undefined`."""
    x, y = _arrays(x, y)
    return math.nan if undefined(x, y) else float(_weighted_pearson(x, y, np.ones((1, len(x))))[0])


def srocc(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank-order correlation, ties at their mean rank; NaN where :func:`undefined`."""
    from scipy.stats import rankdata

    return math.nan if undefined(x, y) else plcc(rankdata(x), rankdata(y))


def krcc(x: ArrayLike, y: ArrayLike) -> float:
    """Kendall's rank correlation, tau-b; NaN where :func:`undefined`."""
    from scipy.stats import kendalltau

    return math.nan if undefined(x, y) else float(kendalltau(x, y).statistic)


def correlations(
    scores: ArrayLike, mos: ArrayLike, *, bootstrap: int = 1000, seed: int = 0, fit: bool = False
) -> dict[str, Estimate]:
    """Every correlation of scores with opinion, with percentile intervals from resampled images.

    The same seed draws the same images, so that metrics on one data set are compared on the same resamples.

    Args:
        scores: ``(N,)``, a metric's scores.
        mos: ``(N,)``, what people said.
        bootstrap: How many resamples; 0 for no intervals.
        seed: Of the resamples.
        fit: Also ``'PLCC fitted'``: after the VQEG logistic fit on all images. Its interval is for that curve.

    Returns:
        ``SROCC``, ``PLCC``, ``KRCC`` and, if asked for, ``PLCC fitted``.
    """
    x, y = _arrays(scores, mos)
    names = ["SROCC", "PLCC", "KRCC", *["PLCC fitted"] * fit]
    if reason := undefined(x, y):
        return {name: Estimate(math.nan, reason=reason) for name in names}
    values = {"SROCC": srocc(x, y), "PLCC": plcc(x, y), "KRCC": krcc(x, y)}
    fitted, unfit = x, ""
    if fit:
        try:
            fitted = fit_logistic(x, y)(x)
            unfit = undefined(fitted, y)
        except ValueError as error:
            unfit = str(error)
        values["PLCC fitted"] = math.nan if unfit else plcc(fitted, y)
    resampled: dict[str, list[Array]] = {name: [] for name in names}
    ranks_x, ranks_y, pairs = _Ranks(x), _Ranks(y), _Pairs(x, y)
    for counts in _resamples(len(x), bootstrap, seed):
        resampled["SROCC"].append(_weighted_pearson(ranks_x(counts), ranks_y(counts), counts))
        resampled["PLCC"].append(_weighted_pearson(x, y, counts))
        resampled["KRCC"].append(pairs(counts))
        if fit and not unfit:
            resampled["PLCC fitted"].append(_weighted_pearson(fitted, y, counts))
    reasons = {"PLCC fitted": unfit}
    return {name: Estimate(values[name], *_interval(resampled[name]), reasons.get(name, "")) for name in names}


def srocc_of_many(scores: ArrayLike, mos: ArrayLike, *, bootstrap: int = 1000, seed: int = 0) -> list[Estimate]:
    """The ``SROCC`` of :func:`correlations` for each column of scores ``(N, P)``; the opinion is resampled once."""
    columns = list(np.asarray(scores, np.float64).T)
    reasons = [undefined(column, mos) for column in columns]
    ranked = [None if reason else _Ranks(column) for column, reason in zip(columns, reasons, strict=True)]
    resampled: list[list[Array]] = [[] for _ in columns]
    opinion, mean = _Ranks(np.asarray(mos, np.float64)), (len(columns[0]) + 1) / 2  # of the ranks of every resample
    for counts in _resamples(len(columns[0]), bootstrap, seed, _CACHED) if any(ranked) else ():
        weighted = opinion(counts) - mean
        yy = np.einsum("bn,bn,bn->b", counts, weighted, weighted)
        weighted *= counts
        for ranks, found in zip(ranked, resampled, strict=True):
            if ranks is not None:
                x = ranks(counts) - mean
                xx, xy = np.einsum("bn,bn,bn->b", counts, x, x), np.einsum("bn,bn->b", weighted, x)
                with np.errstate(divide="ignore", invalid="ignore"):
                    found.append(xy / np.sqrt(xx * yy))
    return [
        Estimate(srocc(column, mos), *_interval(found), reason)
        for column, found, reason in zip(columns, resampled, reasons, strict=True)
    ]


def fit_logistic(scores: ArrayLike, mos: ArrayLike) -> Callable[[ArrayLike], Array]:
    """The five-parameter logistic of the Video Quality Experts Group, fitted by least squares.

    ``f(s) = b1 (1/2 - 1 / (1 + exp(b2 (s - b3)))) + b4 s + b5``: Sheikh, Sabir, Bovik, *A statistical evaluation of
    recent full reference image quality assessment algorithms*, IEEE TIP 2006, Eq. 10.

    For a given slope ``b2`` and centre ``b3`` the best other three are a linear least-squares problem; so only these
    two are searched, from several points of a coarse grid. That always ends, and never worse than a straight line. The
    slope is at most 10 per standard deviation of the scores: a step between two neighbours would only fit chance.

    Returns:
        The curve: scores in, predicted opinion out.

    Raises:
        ValueError: no more images than the curve has parameters, scores that are all the same, or NaN or infinity.
    """
    from scipy.optimize import OptimizeResult, least_squares
    from scipy.special import expit

    x, y = _arrays(scores, mos)
    if len(x) <= 5:
        raise ValueError(f"the logistic fit has 5 parameters and needs more images than that, but {len(x)} came")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("the logistic fit needs scores and opinion that are finite")
    if np.ptp(x) == 0:
        raise ValueError("the logistic fit needs scores that differ")
    unit = float(np.ptp(y)) or 1.0  # of opinion: least_squares stops by absolute numbers
    y = y / unit
    centre = float(np.mean(x))
    spread = float(np.ptp(x) * np.std((x - centre) / np.ptp(x)))

    def terms(s: ArrayLike, slope: float, middle: float) -> Array:
        z = (np.asarray(s, np.float64) - centre) / spread  # standardised, so that one grid fits every metric's range
        return np.stack([0.5 - expit(-slope * (z - middle)), z, np.ones_like(z)], axis=-1)

    def best_linear(nonlinear: Array) -> tuple[Array, Array]:
        """The other three parameters, and what is left of opinion."""
        known = terms(x, *nonlinear)
        linear = np.asarray(np.linalg.lstsq(known, y, rcond=None)[0], np.float64)
        return linear, known @ linear - y

    low, *middles, high = np.quantile((x - centre) / spread, [0, 0.1, 0.3, 0.5, 0.7, 0.9, 1])
    bounds = ([0.01, low - 1], [10.0, high + 1])

    def refined(slope: float) -> OptimizeResult:
        starts = [np.array([slope, middle]) for middle in middles]
        start = min(starts, key=lambda point: float(np.sum(best_linear(point)[1] ** 2)))
        return least_squares(lambda point: best_linear(point)[1], start, bounds=bounds)

    found = min(map(refined, (0.5, 1.0, 2.0, 4.0)), key=lambda result: float(result.cost)).x
    linear = best_linear(found)[0]
    return lambda s: terms(s, *found) @ linear * unit


def _arrays(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"scores and opinion must be two lists of one length, but have shapes {x.shape} and {y.shape}")
    return x, y


def _interval(resampled: list[Array]) -> tuple[float, float]:
    values = np.concatenate(resampled) if resampled else np.empty(0)
    values = values[np.isfinite(values)]  # a resample may hold one image only, many times
    if not len(values):
        return math.nan, math.nan
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def _resamples(n: int, bootstrap: int, seed: int, chunk: int = _CHUNK) -> Iterator[Array]:
    """How often each image was drawn: ``(b, N)`` counts, chunk by chunk."""
    generator = np.random.default_rng(seed)
    step = max(1, chunk // n)
    for start in range(0, bootstrap, step):
        size = min(step, bootstrap - start)
        drawn = generator.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _weighted_pearson(x: Array, y: Array, counts: Array) -> Array:
    """Pearson's correlation of each resample, ``(b,)``; ``x`` and ``y`` are ``(N,)`` or ``(b, N)``."""
    total = counts.sum(1)

    def centred(values: Array) -> Array:
        if values.ndim == 1:  # not ranks, whose squares are harmless
            values = _near_one(values)
            values = _near_one(values - values.mean())
        values = np.broadcast_to(values - values.mean(-1, keepdims=True), counts.shape)
        return values - (np.einsum("bn,bn->b", counts, values) / total)[:, None]

    x, y = centred(x), centred(y)
    xx, yy, xy = (np.einsum("bn,bn,bn->b", counts, a, b) for a, b in ((x, x), (y, y), (x, y)))
    defined = (xx > 0) & (yy > 0)
    quotient = xy / np.sqrt(np.where(defined, xx * yy, 1))
    return np.where(defined, np.clip(quotient, -1, 1), np.nan)


def _near_one(values: Array) -> Array:
    """Times a power of two, which changes no digit, so that the largest is about 1 and no square leaves its range."""
    return np.ldexp(values, -np.frexp(np.max(np.abs(values)))[1])


class _Ranks:
    """Ranks within a resample without sorting it: values are sorted once, then counts are summed up."""

    def __init__(self, values: Array) -> None:
        _, self.group, self.sizes = np.unique(values, return_inverse=True, return_counts=True)
        self.order = np.argsort(self.group, kind="stable")
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])

    def tied(self, counts: Array) -> Array:
        """How often each distinct value was drawn, ``(b, G)``."""
        return np.add.reduceat(counts[:, self.order], self.starts, axis=1)

    def __call__(self, counts: Array) -> Array:
        tied = self.tied(counts)
        return (np.cumsum(tied, 1) - (tied - 1) / 2)[:, self.group]  # the mean rank of those that tie


class _Pairs:
    """Kendall's tau-b of each resample.

    With ``S`` the concordance (-1, 0, 1) of each two images, a resample with counts ``c`` has ``c S c / 2`` concordant
    less discordant pairs: for all resamples at once a matrix product, exact in fp32, since its sums stay under 2^24.
    """

    def __init__(self, x: Array, y: Array) -> None:
        self.x, self.y = x, y
        self.ranks = _Ranks(x), _Ranks(y)

    def __call__(self, counts: Array) -> Array:
        if len(self.x) > _PAIRWISE:
            return self._one_by_one(counts)
        weights = counts.astype(np.float32)
        balance = np.zeros(len(counts))
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
    """-1, 0 or 1 for each value of the rows against every value."""
    these = values[rows, None]
    return (these > values).astype(np.int8) - (these < values).astype(np.int8)
