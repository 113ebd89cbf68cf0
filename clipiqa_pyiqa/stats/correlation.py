"""SROCC, PLCC and KRCC with bootstrap intervals, and PLCC after a fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..errors import counted
from .bootstrap import Array, Estimate, Statistic, interval, resampled

_STEEPEST = 10.0  # largest slope, per standard deviation of the scores: a steeper curve would fit noise
_FLATTEST = 1e-3  # smallest slope: nearly a straight line
_STARTS = 6
_TURN = 1e-3  # a fall of less than this share of the curve's rise does not show in three digits


def fit_logistic(scores: ArrayLike, mos: ArrayLike, parameters: int = 4) -> tuple[Callable[[ArrayLike], Array], str]:
    """Return the least-squares logistic curve from scores ``(N,)`` to human scores ``(N,)``.

    Four parameters give the monotone ``f(s) = b1 (1/2 - 1 / (1 + exp(b2 (s - b3)))) + b4``; the fifth adds ``b5 s``
    (Sheikh, Sabir, Bovik, IEEE TIP 2006, Eq. 10).

    Returns:
        The curve, as a function of scores, and its shape between the lowest and the highest score: ``'rising'``,
        ``'falling'`` or ``'not monotonic'``.

    Raises:
        ValueError: There are too few images for the parameters, all scores are equal, or a value is not finite.
    """
    from scipy.ndimage import minimum_filter
    from scipy.optimize import least_squares

    x, y = np.asarray(scores, np.float64), np.asarray(mos, np.float64)
    if len(x) <= parameters:
        raise ValueError(f"the logistic fit has {parameters} parameters and needs more images; got {len(x)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("the logistic fit needs finite scores")
    if np.ptp(x) == 0:
        raise ValueError("the logistic fit needs scores that differ")
    unit = float(np.ptp(y)) or 1.0  # least_squares stops at absolute tolerances
    y = y / unit
    centre = float(np.mean(x))
    spread = float(np.std(x))
    z = (x - centre) / spread  # standardised, so that one grid fits every metric's range

    def best_linear(nonlinear: ArrayLike) -> tuple[Array, Array]:
        known = _terms(z, nonlinear, parameters - 2)
        linear = np.asarray(np.linalg.lstsq(known, y, rcond=None)[0], np.float64)
        return linear, known @ linear - y

    slopes = np.geomspace(0.02, _STEEPEST, 16)
    low, high = float(z.min()) - 1, float(z.max()) + 1
    middles = np.unique([*np.quantile(z, np.linspace(0, 1, 41)), *np.linspace(low, high, 21)])
    errors = np.array([[np.sum(best_linear((slope, middle))[1] ** 2) for middle in middles] for slope in slopes])
    valleys = np.argwhere(errors == minimum_filter(errors, size=3, mode="nearest"))
    deepest = sorted(valleys.tolist(), key=lambda place: errors[tuple(place)])[:_STARTS]
    bounds = ([_FLATTEST, low], [_STEEPEST, high])
    found = min(
        (
            least_squares(lambda point: best_linear(point)[1], (slopes[i], middles[j]), bounds=bounds)
            for i, j in deepest
        ),
        key=lambda result: float(result.cost),
    ).x
    factors = best_linear(found)[0] * unit

    def curve(values: ArrayLike) -> Array:
        return _terms((np.asarray(values, np.float64) - centre) / spread, found, parameters - 2) @ factors

    steps = np.diff(curve(np.linspace(x.min(), x.max(), 2000)))
    up, down = steps[steps > 0].sum(), -steps[steps < 0].sum()
    if min(up, down) > _TURN * max(up, down):
        return curve, "not monotonic"
    return curve, "falling" if down > up else "rising"


def _terms(z: Array, nonlinear: ArrayLike, count: int) -> Array:
    from scipy.special import expit

    slope, middle = np.asarray(nonlinear)
    return np.stack([0.5 - expit(-slope * (z - middle)), np.ones_like(z), z][:count], axis=-1)


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
