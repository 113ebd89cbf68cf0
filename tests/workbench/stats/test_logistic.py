"""Logistic curves: at least as good as a line, the best of several local fits, and correlations after a fit."""

import math

import numpy as np
import pytest

from clipiqa_pyiqa.workbench.stats.agreement import correlations
from clipiqa_pyiqa.workbench.stats.logistic import fit_logistic

pytestmark = pytest.mark.quick


def line(x, noise):
    return -3 * x


def step(x, noise):
    """Its best slope is infinite."""
    return (x > 0.3).astype(float)


def unrelated(x, noise):
    return noise


def with_an_outlier(x, noise):
    return np.where(x == x.max(), 1e6, x)


@pytest.mark.parametrize("relation", [line, step, unrelated, with_an_outlier])
@pytest.mark.parametrize("parameters", [4, 5])
@pytest.mark.filterwarnings("error")
def test_a_fit_is_at_least_as_good_as_a_line(relation, parameters):
    generator = np.random.default_rng(1)
    x = generator.normal(size=150)
    y = relation(x, generator.normal(size=150))
    curve, _ = fit_logistic(x, y, parameters)
    errors = curve(x) - y
    errors_of_line = np.polyval(np.polyfit(x, y, 1), x) - y
    assert np.sum(errors**2) <= np.sum(errors_of_line**2) * (1 + 1e-6) + 1e-9 * np.sum(y**2)


def test_the_best_of_several_local_fits_is_found():
    # A falling line and a step up at the highest scores: a start where one would begin ends in another valley.
    x = np.random.default_rng(1).gamma(1.5, size=300)
    z = (x - x.mean()) / x.std()
    y = 0.8 / (1 + np.exp(-8 * (z - 2.5))) - 0.3 * z
    curve, _ = fit_logistic(x, y, 5)
    np.testing.assert_allclose(curve(x), y, atol=1e-5)


@pytest.mark.parametrize(
    "relation, parameters, expected",
    [
        (np.tanh, 4, "rising"),
        (np.negative, 4, "falling"),
        (np.square, 4, "rising"),
        (np.square, 5, "not monotonic"),
    ],
)
def test_the_shape_of_a_curve_is_named(relation, parameters, expected):
    x = np.linspace(-2, 2.5, 60)
    _, shape = fit_logistic(x, relation(x), parameters)
    assert shape == expected
    estimates = correlations(x, relation(x), fit=parameters, bootstrap=0)
    caveat = "" if expected == "rising" else f"its fitted curve is {expected}"
    assert estimates["PLCC fitted"].caveat == estimates["RMSE fitted"].caveat == caveat
    assert not estimates["PLCC"].caveat


def test_rmse_is_the_remaining_error_in_units_of_opinion():
    generator = np.random.default_rng(0)
    opinions = 10.0 * generator.integers(0, 12, 60)
    scores = opinions / 10 + generator.integers(-6, 6, 60)
    curve, _ = fit_logistic(scores, opinions)
    estimate = correlations(scores, opinions, fit=4, bootstrap=50)["RMSE fitted"]
    assert estimate.value == pytest.approx(np.sqrt(np.mean((curve(scores) - opinions) ** 2)), rel=1e-12)
    assert estimate.low < estimate.value < estimate.high


def test_too_few_images_have_a_correlation_but_no_fit():
    estimates = correlations([1, 2, 3, 4], [1, 3, 2, 4], fit=4, bootstrap=0)
    assert math.isnan(estimates["PLCC fitted"].value) and "more images" in estimates["PLCC fitted"].reason
    assert estimates["PLCC"].value == pytest.approx(0.8)


@pytest.mark.parametrize("scores", [[0.3] * 50, [*range(49), math.nan]])
def test_scores_without_a_correlation_have_no_fit(scores):
    with pytest.raises(ValueError):
        fit_logistic(scores, np.arange(50))
