"""The mean of paired differences: against scipy, how often it errs, and what few or odd cases come to."""

import math

import numpy as np
import pytest
from scipy import stats

from clipiqa_pyiqa.workbench.stats.mean_differences import mean_difference

pytestmark = pytest.mark.quick


def interval_and_p(differences):
    estimate = mean_difference(differences, np.zeros(len(differences)))
    return estimate.low, estimate.high, estimate.p


def test_without_skewness_the_interval_is_students():
    half = np.random.default_rng(0).normal(size=20)
    differences = np.concatenate([0.3 + half, 0.3 - half])
    expected = stats.ttest_1samp(differences, 0)
    estimate = mean_difference(differences, np.zeros(40))
    assert (estimate.value, estimate.p) == pytest.approx((0.3, expected.pvalue))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_p_is_below_5_percent_where_the_interval_excludes_0():
    draw = np.random.default_rng(0)
    for n in range(2, 40):
        for _ in range(20):
            low, high, p = interval_and_p(draw.exponential(size=n) - 0.5)
            assert (p < 0.05) == (low > 0 or high < 0)


def test_p_of_few_cases_equals_hand_computed_values():
    for differences, p in [
        ([0.1, 0.11], 0.5),  # all of one sign: 2 / 2^n
        (-0.1 - np.arange(6) / 1000, 2 / 2**6),
        ([0.0] * 9, 1.0),
        ([-1.0] * 18 + [1.0] * 2, 0.0206),  # the few that gained do not hide the many that lost
        ([1e-7] * 397 + [0.1] * 3, 0.0832),  # three of 400 are no proof
        ([0.1] * 2, 0.81),
        ([0.1] * 8, 0.9**8),  # eight cases without the one of ten that differs
        ([0.1] * 28, 0.9**28),  # 0.052
        ([0.1] * 29, 0.9**29),  # 0.047
        ([0.1, 0.11] * 4, 0.9**8),
        ([0.10, 0.11, 0.12, 0.13] * 2, 2 / 2**4),  # four different ones
        ([0.1 + 1e-8 * n for n in range(8)], 0.9**8),  # equal but for rounding
    ]:
        assert interval_and_p(differences)[2] == pytest.approx(p, abs=1e-4)


def test_equal_differences_have_an_interval_that_shrinks_with_their_number():
    halves = []
    for n in (8, 28, 29, 400):
        low, high, p = interval_and_p([0.1] * n)
        assert (p < 0.05) == (low > 0)
        assert high - 0.1 == pytest.approx(0.1 - low)
        halves.append(0.1 - low)
    assert halves == sorted(halves, reverse=True) and halves[-1] < 0.01
    low, high, _ = interval_and_p([0.0] * 8)
    assert low == high == 0  # equal runs are equal


def test_one_case_and_infinite_values_have_no_interval():
    for differences in ([1.0], [math.inf, 1, 2], [1e300, -1e300, 1e300]):
        assert all(math.isnan(number) for number in interval_and_p(differences))
    with pytest.raises(ValueError):
        mean_difference([1, 2], [1])
