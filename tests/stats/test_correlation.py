"""Correlations against scipy, hand-made cases, and a bootstrap that resamples the slow way."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pyiqa.metrics.correlation_coefficient import calculate_krcc, calculate_plcc, calculate_srcc
from scipy import stats

from clipiqa_pyiqa.stats.bootstrap import resamples
from clipiqa_pyiqa.stats.correlation import correlations, fit_logistic, krcc, plcc, srocc, srocc_within, undefined

pytestmark = pytest.mark.quick


def scores_with_ties(seed: int = 0, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    mos = generator.integers(0, 12, count).astype(float)
    return mos + generator.integers(-6, 6, count), mos


class TestValues:
    @pytest.mark.parametrize("seed", range(3))
    def test_correlations_equal_scipys_and_pyiqas_with_ties(self, seed: int) -> None:
        x, y = scores_with_ties(seed)
        assert srocc(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
        assert plcc(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
        assert krcc(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
        theirs = calculate_srcc(x, y), calculate_plcc(x, y), calculate_krcc(x, y)
        ours = [correlations(x, y, bootstrap=0)[name].value for name in ("SROCC", "PLCC", "KRCC")]
        assert ours == pytest.approx(list(theirs), abs=1e-12)

    def test_within_groups_is_the_mean_of_scipys(self) -> None:
        x, y = scores_with_ties(5)
        groups = ["a"] * 20 + ["b"] * 30 + ["c"] * 8 + ["alone"] * 2
        each = [stats.spearmanr(x[part], y[part]).statistic for part in (slice(20), slice(20, 50), slice(50, 58))]
        found = srocc_within(x, y + 100 * (np.arange(60) > 30), groups, bootstrap=0)
        assert math.isnan(found.low) and found.value != pytest.approx(np.mean(each))  # opinions were changed
        found = srocc_within(x, y, groups)
        assert found.value == pytest.approx(np.mean(each), abs=1e-12)
        means = np.mean(np.random.default_rng(0).choice(each, (20_000, 3)), axis=1)
        assert (found.low, found.high) == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.02)  # 1000 resamples

    def test_within_groups_of_two_there_is_no_correlation(self) -> None:
        assert srocc_within([1, 2, 3, 4], [1, 2, 3, 4], ["a", "a", "b", "b"]).reason == "no group has a correlation"


class TestUndefined:
    @pytest.mark.parametrize(
        ("x", "y", "words"),
        [
            ([1.0], [2.0], "1 image with a score"),
            ([1, 2], [2, 3], "at least 3"),
            ([0.5] * 5, range(5), "all scores are 0.5"),
            (range(5), [3] * 5, "all opinion scores are 3"),
            ([1, 2, math.nan], [1, 2, 3], "not finite"),
        ],
    )
    def test_an_undefined_correlation_is_nan_with_a_reason(self, x: list[float], y: list[float], words: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = correlations(x, y)
            assert all(math.isnan(f(x, y)) for f in (srocc, plcc, krcc))
        assert words in undefined(x, y)
        for estimate in found.values():
            assert math.isnan(estimate.value) and words in estimate.reason

    def test_different_lengths_are_refused(self) -> None:
        with pytest.raises(ValueError):
            srocc([1, 2, 3], [1, 2])


class TestBootstrap:
    def slow(self, statistic: Callable[..., object], count: int = 200, images: int = 60) -> tuple[float, float]:
        """The same resamples, each correlated by scipy."""
        x, y = scores_with_ties(count=images)
        values = [
            statistic(np.repeat(x, counts.astype(int)), np.repeat(y, counts.astype(int)))[0]  # type: ignore[index]
            for chunk in resamples(len(x), count, seed=3)
            for counts in chunk
        ]
        return tuple(np.percentile(values, (2.5, 97.5)))

    @pytest.mark.parametrize(
        ("name", "statistic"), [("SROCC", stats.spearmanr), ("PLCC", stats.pearsonr), ("KRCC", stats.kendalltau)]
    )
    def test_intervals_equal_scipys_on_each_resample(self, name: str, statistic: Callable[..., object]) -> None:
        estimate = correlations(*scores_with_ties(), bootstrap=200, seed=3)[name]
        assert (estimate.low, estimate.high) == pytest.approx(self.slow(statistic), abs=1e-9)

    def test_krcc_of_many_images_equals_scipy_on_each_resample(self) -> None:
        estimate = correlations(*scores_with_ties(count=2100), bootstrap=3, seed=3)["KRCC"]
        assert (estimate.low, estimate.high) == pytest.approx(self.slow(stats.kendalltau, 3, 2100), abs=1e-9)


class TestLogistic:
    @pytest.mark.parametrize(("relation", "shape"), [(np.tanh, "rising"), (lambda x: -x, "falling")])
    def test_the_direction_of_a_curve_is_named(self, relation: Callable[..., Any], shape: str) -> None:
        x = np.linspace(-2, 2.5, 60)
        found = correlations(x, relation(x), fit=True, bootstrap=0)
        assert fit_logistic(x, relation(x))[1] == shape
        caveat = "" if shape == "rising" else f"its fitted curve is {shape}"
        assert found["PLCC fitted"].caveat == found["RMSE fitted"].caveat == caveat and not found["PLCC"].caveat

    def test_rmse_is_the_remaining_error_in_units_of_opinion(self) -> None:
        x, y = scores_with_ties()
        found = correlations(x, 10 * y, fit=True, bootstrap=50)["RMSE fitted"]
        assert found.value == pytest.approx(np.sqrt(np.mean((fit_logistic(x, 10 * y)[0](x) - 10 * y) ** 2)), rel=1e-12)
        assert found.low < found.value < found.high

    def test_too_few_images_are_refused(self) -> None:
        found = correlations([1, 2, 3, 4], [1, 3, 2, 4], fit=True, bootstrap=0)
        assert "more images" in found["PLCC fitted"].reason and found["PLCC"].value == pytest.approx(0.8)

    @pytest.mark.parametrize(
        "relation",
        [
            lambda x, noise: x,
            lambda x, noise: -3 * x,
            lambda x, noise: (x > 0.3).astype(float),  # its best slope is infinite
            lambda x, noise: noise,
            lambda x, noise: x**2 + noise,
            lambda x, noise: np.where(x == x.max(), 1e6, x),
        ],
        ids=["line", "falling line", "step", "nothing", "no logistic", "outlier"],
    )
    def test_a_fit_is_at_least_as_good_as_a_line(self, relation: Callable[..., Any]) -> None:
        generator = np.random.default_rng(1)
        x = generator.normal(size=150)
        y = relation(x, generator.normal(size=150))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fitted = fit_logistic(x, y)[0](x)
        residual = y - np.polyval(np.polyfit(x, y, 1), x)
        assert np.sum((fitted - y) ** 2) <= np.sum(residual**2) * (1 + 1e-6) + 1e-9 * np.sum(y**2)

    @pytest.mark.parametrize(
        ("x", "said"), [([0.3] * 50, "scores that differ"), ([*range(49), math.nan], "finite"), ([], "more images")]
    )
    def test_scores_without_a_curve_are_refused(self, x: list[float], said: str) -> None:
        with pytest.raises(ValueError, match=said):  # the mean of 50 times 0.3 is not 0.3
            fit_logistic(x, np.arange(len(x)))
