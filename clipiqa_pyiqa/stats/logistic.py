"""Logistic curves from scores to opinion: the monotone one of four parameters, and VQEG's of five."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .bootstrap import Array

_STEEPEST = 10.0  # per standard deviation of the scores: a step between two neighbours would only fit chance
_FLATTEST = 1e-3  # a straight line but for rounding
_STARTS = 6
_TURN = 1e-3  # of the curve's rise: what three digits do not show is no turn


@dataclass(frozen=True)
class LogisticFit:
    """A fitted curve: scores in, predicted opinion out.

    Attributes:
        nonlinear: Slope and centre, of standardised scores.
        linear: Factor of the sigmoid, the constant, and with five parameters the factor of the standardised score, in
            units of opinion.
        centre: Mean of the scores.
        spread: Their standard deviation.
        ends: The lowest and the highest score that it was fitted to.
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
        """Between the ends: ``'rising'``, ``'falling'`` or, of five parameters, ``'not monotonic'``."""
        steps = np.diff(self(np.linspace(*self.ends, 2000)))
        up, down = steps[steps > 0].sum(), -steps[steps < 0].sum()
        if min(up, down) > _TURN * max(up, down):
            return "not monotonic"
        return "falling" if down > up else "rising"


def fit_logistic(scores: ArrayLike, mos: ArrayLike, parameters: int = 4) -> LogisticFit:
    """Fit a logistic curve by least squares.

    With four parameters, ``f(s) = b1 (1/2 - 1 / (1 + exp(b2 (s - b3)))) + b4`` rises or falls everywhere. The fifth
    adds a line, ``+ b5 s``, so that the curve may turn: Sheikh, Sabir, Bovik, *A statistical evaluation of recent full
    reference image quality assessment algorithms*, IEEE TIP 2006, Eq. 10, after VQEG's tests.

    For a given slope ``b2`` and centre ``b3`` the best other ones are a linear least-squares problem; so only these
    two are searched. Their error surface has several valleys: a fine grid finds them, and the deepest few are followed
    down. That always ends. The slope is at most 10 per standard deviation.

    Args:
        scores: ``(N,)``, a metric's scores.
        mos: ``(N,)``, what people said.
        parameters: 4 or 5.

    Raises:
        ValueError: No more images than the curve has parameters, scores that are all the same, or NaN or infinity.
    """
    from scipy.ndimage import maximum_filter
    from scipy.optimize import least_squares

    x, y = np.asarray(scores, np.float64), np.asarray(mos, np.float64)
    if parameters not in (4, 5):
        raise ValueError(f"a logistic curve has 4 or 5 parameters; got {parameters}")
    if len(x) <= parameters:
        raise ValueError(f"the logistic fit has {parameters} parameters and needs more images; got {len(x)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("the logistic fit needs scores and opinion that are finite")
    if np.ptp(x) == 0:
        raise ValueError("the logistic fit needs scores that differ")
    unit = float(np.ptp(y)) or 1.0  # of opinion: least_squares stops by absolute numbers
    y = y / unit
    centre = float(np.mean(x))
    spread = float(np.ptp(x) * np.std((x - centre) / np.ptp(x)))
    z = (x - centre) / spread  # standardised, so that one grid fits every metric's range

    def best_linear(nonlinear: Array) -> tuple[Array, Array]:
        """Return the linear parameters, and what is left of opinion."""
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
    """Return the sigmoid, ones and, if ``count`` is 3, the scores, ``(N, count)``."""
    from scipy.special import expit

    return np.stack([0.5 - expit(-slope * (z - middle)), np.ones_like(z), z][:count], axis=-1)


def _gains(z: Array, y: Array, slopes: Array, middles: Array, degree: int) -> Array:
    """Return how much of the squared error of a constant (degree 1) or of a line (2) each curve takes away.

    The shape is ``(slopes, middles)``.
    """
    from scipy.special import expit

    line = np.linalg.qr(np.stack([np.ones_like(z), z][:degree], axis=-1))[0]  # (N, degree)
    left = y - line @ (line.T @ y)
    gains = np.zeros((len(slopes), len(middles)))
    for row, slope in zip(gains, slopes, strict=True):
        curves = expit(slope * (z - middles[:, None]))  # (middles, N)
        curves -= (curves @ line) @ line.T
        sizes = np.einsum("mn,mn->m", curves, curves)
        bent = sizes > 1e-12 * len(z)  # what is left of a curve that is as good as straight is rounding
        row[bent] = (curves[bent] @ left) ** 2 / sizes[bent]
    return gains
