"""Logistic curves from scores to human scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .bootstrap import Array

_STEEPEST = 10.0  # largest slope, per standard deviation of the scores: a steeper curve would fit noise
_FLATTEST = 1e-3  # smallest slope: nearly a straight line
_STARTS = 6
_PARAMETERS = 4


def fit_logistic(scores: ArrayLike, mos: ArrayLike) -> tuple[Callable[[ArrayLike], Array], str]:
    """Return the least-squares logistic curve from scores ``(N,)`` to human scores ``(N,)``.

    The curve is ``f(s) = b1 (1/2 - 1 / (1 + exp(b2 (s - b3)))) + b4``: Eq. 10 of Sheikh, Sabir, Bovik, IEEE TIP 2006,
    without its linear term, so that it is monotonic.

    Returns:
        The curve, as a function of scores, and ``'rising'`` or ``'falling'``.

    Raises:
        ValueError: There are fewer than five images, all scores are equal, or a value is not finite.
    """
    from scipy.ndimage import minimum_filter
    from scipy.optimize import least_squares

    x, y = np.asarray(scores, np.float64), np.asarray(mos, np.float64)
    if len(x) <= _PARAMETERS:
        raise ValueError(f"the logistic fit has {_PARAMETERS} parameters and needs more images; got {len(x)}")
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
        known = _terms(z, nonlinear)
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
        return _terms((np.asarray(values, np.float64) - centre) / spread, found) @ factors

    return curve, "falling" if factors[0] < 0 else "rising"


def _terms(z: Array, nonlinear: ArrayLike) -> Array:
    from scipy.special import expit

    slope, middle = np.asarray(nonlinear)
    return np.stack([0.5 - expit(-slope * (z - middle)), np.ones_like(z)], axis=-1)
