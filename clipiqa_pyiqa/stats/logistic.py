"""Logistic curves from scores to human scores, with four or five parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .bootstrap import Array

_STEEPEST = 10.0  # largest slope, per standard deviation of the scores: a steeper step would fit noise
_FLATTEST = 1e-3  # smallest slope: nearly a straight line
_STARTS = 6
_TURN = 1e-3  # share of the curve's rise; a smaller turn does not show in three digits


@dataclass(frozen=True)
class LogisticFit:
    """A fitted curve; a call with scores predicts human scores.

    Attributes:
        nonlinear: Slope and centre for standardised scores.
        linear: Factors of sigmoid, constant and, if used, standardised score.
        centre, spread: Mean and standard deviation of the scores.
        ends: Lowest and highest score.
    """

    nonlinear: tuple[float, float]
    linear: tuple[float, ...]
    centre: float
    spread: float
    ends: tuple[float, float]

    def __call__(self, scores: ArrayLike) -> Array:
        z = (np.asarray(scores, np.float64) - self.centre) / self.spread
        return _terms(z, *self.nonlinear, len(self.linear)) @ np.array(self.linear)

    @property
    def shape(self) -> str:
        """The curve between the ends: ``'rising'``, ``'falling'`` or ``'not monotonic'``."""
        steps = np.diff(self(np.linspace(*self.ends, 2000)))
        up, down = steps[steps > 0].sum(), -steps[steps < 0].sum()
        if min(up, down) > _TURN * max(up, down):
            return "not monotonic"
        return "falling" if down > up else "rising"


def fit_logistic(scores: ArrayLike, mos: ArrayLike, parameters: int = 4) -> LogisticFit:
    """Return the least-squares logistic curve from scores ``(N,)`` to human scores ``(N,)``.

    Four parameters give the monotone ``f(s) = b1 (1/2 - 1 / (1 + exp(b2 (s - b3)))) + b4``; the fifth adds ``b5 s``
    (Sheikh, Sabir, Bovik, IEEE TIP 2006, Eq. 10).

    Raises:
        ValueError: There are too few images for the parameters, all scores are equal, or a value is not finite.
    """
    from scipy.ndimage import maximum_filter
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

    def best_linear(nonlinear: Array) -> tuple[Array, Array]:
        known = _terms(z, nonlinear[0], nonlinear[1], parameters - 2)
        linear = np.asarray(np.linalg.lstsq(known, y, rcond=None)[0], np.float64)
        return linear, known @ linear - y

    slopes = np.geomspace(0.02, _STEEPEST, 16)
    low, high = float(z.min()) - 1, float(z.max()) + 1
    middles = np.unique([*np.quantile(z, np.linspace(0, 1, 41)), *np.linspace(low, high, 21)])
    gains = _gains(z, y, slopes, middles, parameters - 3)
    valleys = np.argwhere(gains == maximum_filter(gains, size=3, mode="nearest"))
    deepest = sorted(valleys.tolist(), key=lambda place: -gains[tuple(place)])[:_STARTS]
    bounds = ([_FLATTEST, low], [_STEEPEST, high])
    found = min(
        (
            least_squares(lambda point: best_linear(point)[1], (slopes[i], middles[j]), bounds=bounds)
            for i, j in deepest
        ),
        key=lambda result: float(result.cost),
    ).x
    factors = (best_linear(found)[0] * unit).tolist()
    return LogisticFit(tuple(found.tolist()), tuple(factors), centre, spread, (float(x.min()), float(x.max())))


def _terms(z: Array, slope: float, middle: float, count: int) -> Array:
    from scipy.special import expit

    return np.stack([0.5 - expit(-slope * (z - middle)), np.ones_like(z), z][:count], axis=-1)


def _gains(z: Array, y: Array, slopes: Array, middles: Array, degree: int) -> Array:
    """Return how much each curve lowers the squared error of a constant or line."""
    from scipy.special import expit

    line = np.linalg.qr(np.stack([np.ones_like(z), z][:degree], axis=-1))[0]  # (N, degree)
    left = y - line @ (line.T @ y)
    gains = np.zeros((len(slopes), len(middles)))
    for row, slope in zip(gains, slopes, strict=True):
        curves = expit(slope * (z - middles[:, None]))  # (middles, N)
        curves -= (curves @ line) @ line.T
        sizes = np.einsum("mn,mn->m", curves, curves)
        bent = sizes > 1e-12 * len(z)  # a nearly straight curve leaves only rounding errors
        row[bent] = (curves[bent] @ left) ** 2 / sizes[bent]
    return gains
