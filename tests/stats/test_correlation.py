"""Correlations against scipy, hand-made cases, and a bootstrap that resamples the slow way."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
from scipy import stats

from clipiqa_pyiqa.stats.correlation import (
    correlations,
    fit_logistic,
    krcc,
    plcc,
    srocc,
    undefined,
    within,
)
from clipiqa_pyiqa.stats.intervals import resamples

pytestmark = pytest.mark.quick


def scores_with_ties(seed=0, count=60):
    generator = np.random.default_rng(seed)
    mos = generator.integers(0, 12, count).astype(float)
    return mos + generator.integers(-6, 6, count), mos


def test_within_groups_is_the_mean_of_scipys():
    x, y = scores_with_ties(5)
    groups = ["a"] * 20 + ["b"] * 30 + ["c"] * 8 + ["alone"] * 2
    each = [stats.spearmanr(x[part], y[part]).statistic for part in (slice(20), slice(20, 50), slice(50, 58))]
    found = within(x, y, groups)["SROCC within"]
    assert found.value == pytest.approx(np.mean(each), abs=1e-12)
    means = np.mean(np.random.default_rng(0).choice(each, (20_000, 3)), axis=1)
    assert (found.low, found.high) == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.02)  # 1000 resamples
    assert within(x[:4], y[:4], [*"aabb"])["SROCC within"].reason == "no group has a correlation"


@pytest.mark.parametrize(
    "x, y, words",
    [
        ([1, 2], [2, 3], "at least 3"),
        ([0.5] * 5, range(5), "all scores are 0.5"),
        (range(5), [3] * 5, "all opinion scores are 3"),
        ([1, 2, math.nan], [1, 2, 3], "not finite"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_an_undefined_correlation_is_nan_with_a_reason(x, y, words):
    found = correlations(x, y)
    assert all(math.isnan(f(x, y)) for f in (srocc, plcc, krcc))
    assert words in undefined(x, y)
    for estimate in found.values():
        assert math.isnan(estimate.value) and words in estimate.reason


def pair_accuracy(x, y, least):
    pairs = [(x[i] - x[j], y[i] - y[j]) for i, j in itertools.combinations(range(len(x)), 2)]
    rights = [(a * b > 0) + (a == 0) / 2 for a, b in pairs if abs(b) >= least]
    return (np.mean(rights),)


def test_intervals_equal_scipys_on_each_resample():
    for name, statistic, images, count, tolerance in [
        ("SROCC", stats.spearmanr, 60, 200, 1e-9),
        ("PLCC", stats.pearsonr, 60, 200, 1e-9),
        ("KRCC", stats.kendalltau, 60, 200, 1e-9),
        ("KRCC", stats.kendalltau, 2100, 200, 1e-3),  # as a linear function of the draws
        ("pair accuracy", pair_accuracy, 60, 200, 1e-9),
    ]:
        x, y = scores_with_ties(count=images)
        drawn = np.concatenate(list(resamples(images, count, seed=3))).astype(int)
        if statistic is pair_accuracy:
            statistic = partial(pair_accuracy, least=np.std(y))
        values = [statistic(np.repeat(x, counts), np.repeat(y, counts))[0] for counts in drawn]
        estimate = correlations(x, y, bootstrap=count, seed=3)[name]
        assert estimate.value == pytest.approx(statistic(x, y)[0], abs=1e-12)
        assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(values, (2.5, 97.5))), abs=tolerance)


def test_the_best_of_each_group_is_found_or_not_and_ties_count_in_part():
    groups = [*"aaabbbccc"]
    found = within([1, 2, 3, 3, 2, 1, 5, 5, 1], [1, 2, 3, 1, 2, 3, 4, 5, 0], groups)["top-1 within"]
    assert found.value == pytest.approx((1 + 0 + 0.5) / 3) and found.low < found.value < found.high
    assert within([1, 2], [1, 1], ["a", "a"])["top-1 within"].reason


def test_the_best_of_several_local_fits_is_found():
    # A falling line and a step up at the highest scores: a start where one would begin ends in another valley.
    x = np.random.default_rng(1).gamma(1.5, size=300)
    z = (x - x.mean()) / x.std()
    y = 0.8 / (1 + np.exp(-8 * (z - 2.5))) - 0.3 * z
    np.testing.assert_allclose(fit_logistic(x, y, 5)[0](x), y, atol=1e-5)


def test_the_shape_of_a_curve_is_named():
    for relation, parameters, shape in [
        (np.tanh, 4, "rising"),
        (np.negative, 4, "falling"),
        (np.square, 4, "rising"),
        (np.square, 5, "not monotonic"),
    ]:
        x = np.linspace(-2, 2.5, 60)
        found = correlations(x, relation(x), fit=parameters, bootstrap=0)
        assert fit_logistic(x, relation(x), parameters)[1] == shape
        caveat = "" if shape == "rising" else f"its fitted curve is {shape}"
        assert found["PLCC fitted"].caveat == found["RMSE fitted"].caveat == caveat and not found["PLCC"].caveat


def test_rmse_is_the_remaining_error_in_units_of_opinion():
    x, y = scores_with_ties()
    found = correlations(x, 10 * y, fit=4, bootstrap=50)["RMSE fitted"]
    assert found.value == pytest.approx(np.sqrt(np.mean((fit_logistic(x, 10 * y)[0](x) - 10 * y) ** 2)), rel=1e-12)
    assert found.low < found.value < found.high


def test_what_has_no_fit_or_correlation_is_refused():
    found = correlations([1, 2, 3, 4], [1, 3, 2, 4], fit=4, bootstrap=0)
    assert "more images" in found["PLCC fitted"].reason and found["PLCC"].value == pytest.approx(0.8)
    for x in ([0.3] * 50, [*range(49), math.nan], [1, 2]):
        with pytest.raises(ValueError):
            (fit_logistic if len(x) > 2 else srocc)(x, np.arange(50))


@pytest.mark.parametrize(
    "relation",
    [
        lambda x, noise: -3 * x,
        lambda x, noise: (x > 0.3).astype(float),  # its best slope is infinite
        lambda x, noise: noise,
        lambda x, noise: np.where(x == x.max(), 1e6, x),  # an outlier
    ],
)
@pytest.mark.parametrize("parameters", [4, 5])
@pytest.mark.filterwarnings("error")
def test_a_fit_is_at_least_as_good_as_a_line(relation, parameters):
    generator = np.random.default_rng(1)
    x = generator.normal(size=150)
    y = relation(x, generator.normal(size=150))
    fitted = fit_logistic(x, y, parameters)[0](x)
    residual = y - np.polyval(np.polyfit(x, y, 1), x)
    assert np.sum((fitted - y) ** 2) <= np.sum(residual**2) * (1 + 1e-6) + 1e-9 * np.sum(y**2)
