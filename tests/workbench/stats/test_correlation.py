"""Correlations against scipy, hand-made cases, and a bootstrap that resamples the slow way."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from clipiqa_pyiqa.workbench.stats.agreement import correlations
from clipiqa_pyiqa.workbench.stats.correlation import krcc, plcc, srocc, why_undefined
from clipiqa_pyiqa.workbench.stats.resampling import draws
from clipiqa_pyiqa.workbench.stats.within_groups import within

pytestmark = pytest.mark.quick


def scores_with_ties(seed=0, count=60):
    generator = np.random.default_rng(seed)
    mos = generator.integers(0, 12, count).astype(float)
    scores = mos + generator.integers(-6, 6, count)
    return scores, mos


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
    assert words in why_undefined(x, y)
    for correlation in (srocc, plcc, krcc):
        assert math.isnan(correlation(x, y))
    for estimate in correlations(x, y).values():
        assert math.isnan(estimate.value) and words in estimate.reason


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError):
        srocc([1, 2], np.arange(50))


# Intervals


def pair_accuracy(x, y, least):
    """Return the share of right pairs, of those with opinions ``least`` or more apart; equal scores are half right."""
    rights = []
    for i, j in itertools.combinations(range(len(x)), 2):
        if abs(y[i] - y[j]) < least:
            continue
        if x[i] == x[j]:
            rights.append(0.5)
        else:
            rights.append(float((x[i] > x[j]) == (y[i] > y[j])))
    return np.mean(rights)


@pytest.mark.parametrize(
    "name, images, tolerance",
    [
        ("SROCC", 60, 1e-9),
        ("PLCC", 60, 1e-9),
        ("KRCC", 60, 1e-9),
        pytest.param("KRCC", 2100, 1e-3, marks=pytest.mark.slow),  # as a linear function of the draws
        ("pair accuracy", 60, 1e-9),
    ],
)
def test_intervals_equal_scipys_on_each_resample(name, images, tolerance):
    x, y = scores_with_ties(count=images)
    spread = np.std(y)
    expected = {
        "SROCC": lambda x, y: stats.spearmanr(x, y)[0],
        "PLCC": lambda x, y: stats.pearsonr(x, y)[0],
        "KRCC": lambda x, y: stats.kendalltau(x, y)[0],
        "pair accuracy": lambda x, y: pair_accuracy(x, y, spread),
    }[name]
    counts_of_draws = np.concatenate(list(draws(images, 200, seed=3))).astype(int)
    drawn = [expected(np.repeat(x, counts), np.repeat(y, counts)) for counts in counts_of_draws]
    estimate = correlations(x, y, bootstrap=200, seed=3)[name]
    assert estimate.value == pytest.approx(expected(x, y), abs=1e-12)
    low, high = np.percentile(drawn, (2.5, 97.5))
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=tolerance)


# Groups


def test_within_groups_is_the_mean_of_scipys():
    x, y = scores_with_ties(5)
    groups = ["a"] * 20 + ["b"] * 30 + ["c"] * 8 + ["alone"] * 2
    parts = (slice(20), slice(20, 50), slice(50, 58))
    sroccs = [stats.spearmanr(x[part], y[part]).statistic for part in parts]
    estimate = within(x, y, groups)["SROCC within"]
    assert estimate.value == pytest.approx(np.mean(sroccs), abs=1e-12)
    means = np.mean(np.random.default_rng(0).choice(sroccs, (20_000, 3)), axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.02)  # of 1,000 resamples only


def test_groups_of_two_have_no_correlation():
    estimate = within([1, 2, 2, 3], [1, 2, 3, 4], [*"aabb"])["SROCC within"]
    assert math.isnan(estimate.value) and estimate.reason == "no group has a correlation"


def test_one_group_has_a_correlation_without_an_interval():
    estimate = within([1, 2, 3, 1], [1, 2, 3, 1], [*"aaab"])["SROCC within"]
    assert estimate.value == 1 and math.isnan(estimate.low) and math.isnan(estimate.high)


def test_the_best_of_each_group_is_found_or_not_and_ties_count_in_part():
    groups = [*"aaabbbccc"]
    estimate = within([1, 2, 3, 3, 2, 1, 5, 5, 1], [1, 2, 3, 1, 2, 3, 4, 5, 0], groups)["top-1 within"]
    assert estimate.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert estimate.low < estimate.value < estimate.high


def test_without_resamples_no_number_within_groups_has_an_interval():
    for estimate in within([1, 2, 3, 1, 3, 2], [1, 2, 3, 1, 2, 3], [*"aaabbb"], bootstrap=0).values():
        assert math.isfinite(estimate.value) and math.isnan(estimate.low) and math.isnan(estimate.high)


def test_a_group_of_equal_opinions_has_no_best_image():
    assert within([1, 2], [1, 1], ["a", "a"])["top-1 within"].reason
