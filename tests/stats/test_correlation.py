"""Correlations against scipy, hand-made cases, and a bootstrap that resamples the slow way."""

import math
import warnings

import numpy as np
import pytest
from pyiqa.metrics.correlation_coefficient import calculate_krcc, calculate_plcc, calculate_srcc
from scipy import stats
from scipy.optimize import least_squares

from clipiqa_pyiqa.stats.bootstrap import resamples
from clipiqa_pyiqa.stats.correlation import correlations, fit_logistic, krcc, plcc, srocc, srocc_within, undefined

pytestmark = pytest.mark.quick


def scores_with_ties(seed=0, count=60):
    generator = np.random.default_rng(seed)
    mos = generator.integers(0, 12, count).astype(float)
    return mos + generator.integers(-6, 6, count), mos


class TestValues:
    @pytest.mark.parametrize("seed", range(3))
    def test_correlations_equal_scipys_and_pyiqas_with_ties(self, seed):
        x, y = scores_with_ties(seed)
        assert srocc(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
        assert plcc(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
        assert krcc(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
        theirs = calculate_srcc(x, y), calculate_plcc(x, y), calculate_krcc(x, y)
        ours = [correlations(x, y, bootstrap=0)[name].value for name in ("SROCC", "PLCC", "KRCC")]
        assert ours == pytest.approx(list(theirs), abs=1e-12)

    def test_within_groups_is_the_mean_of_scipys(self):
        x, y = scores_with_ties(5)
        groups = ["a"] * 20 + ["b"] * 30 + ["c"] * 8 + ["alone"] * 2
        each = [stats.spearmanr(x[part], y[part]).statistic for part in (slice(20), slice(20, 50), slice(50, 58))]
        found = srocc_within(x, y, groups)
        assert found.value == pytest.approx(np.mean(each), abs=1e-12)
        means = np.mean(np.random.default_rng(0).choice(each, (20_000, 3)), axis=1)
        assert (found.low, found.high) == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.02)  # 1000 resamples

    def test_within_groups_of_two_there_is_no_correlation(self):
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
    def test_an_undefined_correlation_is_nan_with_a_reason(self, x, y, words):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = correlations(x, y)
            assert all(math.isnan(f(x, y)) for f in (srocc, plcc, krcc))
        assert words in undefined(x, y)
        for estimate in found.values():
            assert math.isnan(estimate.value) and words in estimate.reason

    def test_different_lengths_are_refused(self):
        with pytest.raises(ValueError):
            srocc([1, 2, 3], [1, 2])


@pytest.mark.parametrize(
    ("name", "statistic", "images", "count"),
    [
        *(("SROCC", stats.spearmanr, 60, 200), ("PLCC", stats.pearsonr, 60, 200), ("KRCC", stats.kendalltau, 60, 200)),
        ("KRCC", stats.kendalltau, 2100, 3),  # computed in another way
    ],
)
def test_intervals_equal_scipys_on_each_resample(name, statistic, images, count):
    x, y = scores_with_ties(count=images)
    drawn = np.concatenate(list(resamples(images, count, seed=3))).astype(int)
    values = [statistic(np.repeat(x, counts), np.repeat(y, counts))[0] for counts in drawn]
    estimate = correlations(x, y, bootstrap=count, seed=3)[name]
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(values, (2.5, 97.5))), abs=1e-9)


class TestLogistic:
    def test_the_best_of_several_local_fits_is_found(self):
        # A falling line and a step up at the highest 3 % of skewed scores: most starts end in another valley.
        generator = np.random.default_rng(1)
        x = generator.gamma(1.5, size=300)
        y = -0.3 * x + 0.8 * (x > np.quantile(x, 0.97)) + generator.normal(size=300) / 2
        z = (x - x.mean()) / x.std()

        def from_start(slope, middle):
            """What is left of opinion when scipy goes down from one start, within the same bounds."""

            def errors(b):
                return b[0] * (0.5 - 1 / (1 + np.exp(b[1] * (z - b[2])))) + b[3] * z + b[4] - y

            bounds = [-np.inf, 0.01, z.min() - 1, -np.inf, -np.inf], [np.inf, 10, z.max() + 1, np.inf, np.inf]
            return 2 * least_squares(errors, [1, slope, middle, 0, 0], bounds=bounds, max_nfev=2000).cost

        ours = np.sum((fit_logistic(x, y, 5)[0](x) - y) ** 2)
        assert ours < 0.97 * from_start(1, 0)  # a single start, where one would begin, misses it
        assert ours <= (1 + 1e-6) * min(from_start(5, middle) for middle in np.linspace(-1, 4, 11))

    @pytest.mark.parametrize(
        ("relation", "shape"),
        [(lambda x: x, "rising"), (np.tanh, "rising"), (lambda x: -x, "falling"), (lambda x: x**2, "not monotonic")],
    )
    @pytest.mark.parametrize("parameters", [4, 5])
    def test_the_shape_of_a_curve_is_named(self, relation, shape, parameters):
        x = np.linspace(-2, 2.5, 60)
        found = correlations(x, relation(x), fit=parameters, bootstrap=0)
        shape = "rising" if parameters == 4 and shape == "not monotonic" else shape  # of four, none turns
        assert fit_logistic(x, relation(x), parameters)[1] == shape
        caveat = "" if shape == "rising" else f"its fitted curve is {shape}"
        assert found["PLCC fitted"].caveat == found["RMSE fitted"].caveat == caveat and not found["PLCC"].caveat

    def test_rmse_is_the_remaining_error_in_units_of_opinion(self):
        x, y = scores_with_ties()
        found = correlations(x, 10 * y, fit=4, bootstrap=50)["RMSE fitted"]
        assert found.value == pytest.approx(np.sqrt(np.mean((fit_logistic(x, 10 * y)[0](x) - 10 * y) ** 2)), rel=1e-12)
        assert found.low < found.value < found.high

    def test_too_few_images_are_refused(self):
        found = correlations([1, 2, 3, 4], [1, 3, 2, 4], fit=4, bootstrap=0)
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
    @pytest.mark.parametrize("parameters", [4, 5])
    def test_a_fit_is_at_least_as_good_as_a_line(self, relation, parameters):
        generator = np.random.default_rng(1)
        x = generator.normal(size=150)
        y = relation(x, generator.normal(size=150))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fitted = fit_logistic(x, y, parameters)[0](x)
        residual = y - np.polyval(np.polyfit(x, y, 1), x)
        assert np.sum((fitted - y) ** 2) <= np.sum(residual**2) * (1 + 1e-6) + 1e-9 * np.sum(y**2)

    @pytest.mark.parametrize(
        ("x", "said"), [([0.3] * 50, "scores that differ"), ([*range(49), math.nan], "finite"), ([], "more images")]
    )
    def test_scores_without_a_curve_are_refused(self, x, said):
        with pytest.raises(ValueError, match=said):
            fit_logistic(x, np.arange(len(x)))
