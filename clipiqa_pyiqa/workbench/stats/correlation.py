"""SROCC, PLCC, KRCC and pair accuracy of scores and opinions, also where images count several times."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...text import counted
from .arrays import Array, arrays
from .resampling import StatisticsOfCounts

Statistic = Callable[[Array, Array], StatisticsOfCounts]
"""A function of the scores of ``P`` metrics ``(P, N)`` and of opinions ``(N,)``."""
Terms = Callable[[Array, Array], list[Any]]
"""A function of two images' differences in score and in opinion, which returns ``K`` terms of a sum over all pairs."""

MIN_IMAGES = 3  # with two images every correlation is ±1
_MOST_PAIRWISE = 2000  # most images whose pairs are held in a table


def why_undefined(x: ArrayLike, y: ArrayLike) -> str:
    """Return why two lists have no correlation, such as 'all scores are 0.5', or ''."""
    x, y = arrays(x, y)
    if len(x) < MIN_IMAGES:
        return f"{counted(len(x), 'image')} with a score, but a correlation needs at least {MIN_IMAGES}"
    for numbers, name in ((x, "scores"), (y, "opinion scores")):
        if not np.isfinite(numbers).all():
            return f"some {name} are not finite"
        if np.ptp(numbers) == 0:
            return f"all {name} are {numbers[0]:.6g}"
    return ""


def plcc(x: ArrayLike, y: ArrayLike) -> float:
    """Return Pearson's linear correlation; NaN where there is none (:func:`why_undefined`)."""
    return _of_one_metric(plccs, x, y)


def srocc(x: ArrayLike, y: ArrayLike) -> float:
    """Return Spearman's rank correlation; ties get their mean rank; NaN where there is none (:func:`why_undefined`)."""
    return _of_one_metric(sroccs, x, y)


def krcc(x: ArrayLike, y: ArrayLike) -> float:
    """Return Kendall's rank correlation, tau-b; NaN where there is none (:func:`why_undefined`)."""
    return _of_one_metric(krccs, x, y)


def _of_one_metric(statistic: Statistic, x: ArrayLike, y: ArrayLike) -> float:
    x, y = arrays(x, y)
    if why_undefined(x, y):
        return math.nan
    each_image_once = np.ones((1, len(x)))
    return statistic(x[None], y)(each_image_once).item()


def plccs(scores: Array, opinions: Array) -> StatisticsOfCounts:
    """Return the function that computes Pearson's correlation of each metric, for counts of images."""
    return lambda counts: np.array([_pearson(row, opinions, counts) for row in scores])


def sroccs(scores: Array, opinions: Array) -> StatisticsOfCounts:
    """Return the function that computes Spearman's correlation of each metric, for counts of images."""
    score_ranks = [_ranks(row) for row in scores]
    opinion_ranks = _ranks(opinions)

    def statistics_of(counts: Array) -> Array:
        ranks = opinion_ranks(counts)
        return np.array([_pearson(ranks_of(counts), ranks, counts) for ranks_of in score_ranks])

    return statistics_of


def krccs(scores: Array, opinions: Array) -> StatisticsOfCounts:
    """Return the function that computes Kendall's tau-b of each metric, for counts of images."""

    def terms(x: Array, y: Array) -> list[Any]:
        return [np.sign(x) * np.sign(y), x != 0, y != 0]

    def tau(concordant: Array, different_scores: Array, different_opinions: Array) -> Array:
        return concordant / np.sqrt(different_scores * different_opinions)

    return _over_all_pairs(scores, opinions, terms, tau)


def accuracies(scores: Array, opinions: Array) -> StatisticsOfCounts:
    """Return the function that computes the pair accuracy of each metric, for counts of images."""
    least = np.std(opinions)

    def terms(x: Array, y: Array) -> list[Any]:
        is_clear = abs(y) >= least
        rights = (1 + np.sign(x) * np.sign(y)) / 2  # equal scores are half right
        return [np.where(is_clear, rights, 0), is_clear]

    return _over_all_pairs(scores, opinions, terms, np.divide)


STATISTICS: dict[str, Statistic] = {"SROCC": sroccs, "PLCC": plccs, "KRCC": krccs, "pair accuracy": accuracies}
"""Statistics of :func:`~clipiqa_pyiqa.workbench.stats.correlations`.

Pair accuracy is the share of pairs of images in the right order, of those whose human scores differ by at least one
standard deviation.
"""


def _pearson(x: Array, y: Array, counts: Array) -> Array:
    """Return Pearson's correlations ``(b,)`` of numbers ``(N,)`` or ``(b, N)``, for counts ``(b, N)``."""
    x = _centred(x, counts)
    y = _centred(y, counts)
    x_squares = np.einsum("bn,bn,bn->b", counts, x, x)
    y_squares = np.einsum("bn,bn,bn->b", counts, y, y)
    products = np.einsum("bn,bn,bn->b", counts, x, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(products / np.sqrt(x_squares * y_squares), -1, 1)


def _centred(numbers: Array, counts: Array) -> Array:
    """Return numbers minus their mean, ``(b, N)``, for each row of counts."""
    # first without the mean of all: the sums of large numbers would lose digits
    near_zero = np.broadcast_to(numbers - numbers.mean(), counts.shape)
    means = np.einsum("bn,bn->b", counts, near_zero) / counts.sum(1)
    return near_zero - means[:, None]


def _ranks(numbers: Array) -> Callable[[Array], Array]:
    """Return the function from counts ``(b, N)`` to the images' ranks ``(b, N)``; ties have their mean rank."""
    order = np.argsort(numbers, kind="stable")
    _, starts = np.unique(numbers[order], return_index=True)
    _, place_of_each = np.unique(numbers, return_inverse=True)  # among the distinct numbers

    def ranks_of(counts: Array) -> Array:
        tied = np.add.reduceat(counts[:, order], starts, axis=1)  # (b, distinct numbers)
        return (np.cumsum(tied, 1) - (tied - 1) / 2)[:, place_of_each]

    return ranks_of


def _over_all_pairs(scores: Array, opinions: Array, terms: Terms, combined: Callable[..., Array]) -> StatisticsOfCounts:
    """Return the function that combines sums over all pairs of images into a statistic of each metric.

    Args:
        combined: Returns a statistic for each resample ``(b,)``; takes the sum of each term, ``(b,)``.
    """
    sums_of_metrics = [_sums_over_pairs(row, opinions, terms) for row in scores]

    def statistics_of(counts: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.array([combined(*sums_of(counts)) for sums_of in sums_of_metrics])

    return statistics_of


def _sums_over_pairs(scores: Array, opinions: Array, terms: Terms) -> StatisticsOfCounts:
    """Return the function from counts ``(b, N)`` to the sums of ``K`` terms over all pairs of images, ``(K, b)``."""
    if len(scores) > _MOST_PAIRWISE:
        return _linear_sums_over_pairs(scores, opinions, terms)
    table = np.array(terms(scores[:, None] - scores, opinions[:, None] - opinions))  # (K, N, N)
    return lambda counts: np.einsum("bn,kbn->kb", counts, counts @ table)


def _linear_sums_over_pairs(scores: Array, opinions: Array, terms: Terms) -> StatisticsOfCounts:
    """Return an approximation of :func:`_sums_over_pairs` for many images, linear in the counts.

    It is exact when each image counts once; otherwise it is off by about 1 / N.
    """
    step = _MOST_PAIRWISE**2 // len(scores)
    blocks = []
    for start in range(0, len(scores), step):
        rows = slice(start, start + step)
        pairs = np.array(terms(scores[rows, None] - scores, opinions[rows, None] - opinions))  # (K, step, N)
        blocks.append(pairs.sum(2))
    sums = np.concatenate(blocks, axis=1)  # (K, N), over the pairs of each image
    return lambda counts: 2 * sums @ counts.T - sums.sum(1, keepdims=True)
