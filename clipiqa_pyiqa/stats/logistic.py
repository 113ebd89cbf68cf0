"""The Video Quality Experts Group's logistic curve from scores to opinion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .bootstrap import Array

_STEEPEST = 10.0  # per standard deviation of the scores: a step between two neighbours would only fit chance
_STARTS = 6
_TURN = 1e-3  # of the curve's rise: what three digits do not show is no turn


@dataclass(frozen=True)
class LogisticFit:
    """A fitted curve: scores in, predicted opinion out.

    Attributes:
        nonlinear: Slope and centre, of standardised scores.
        linear: Factors of the sigmoid and of the standardised score, and the constant, in units of opinion.
        centre: Mean of the scores.
        spread: Their standard deviation.
        ends: The lowest and the highest score that it was fitted to.
    """

    nonlinear: tuple[float, float]
    linear: tuple[float, float, float]
    centre: float
    spread: float
    ends: tuple[float, float]

    def __call__(self, scores: ArrayLike) -> Array:
        z = (np.asarray(scores, np.float64) - self.centre) / self.spread
        return _terms(z, *self.nonlinear) @ np.array(self.linear)

    @property
    def shape(self) -> str:
        """Between the ends: ``'rising'``, ``'falling'`` or ``'not monotonic'``."""
        steps = np.diff(self(np.linspace(*self.ends, 2000)))
        up, down = steps[steps > 0].sum(), -steps[steps < 0].sum()
        if min(up, down) > _TURN * max(up, down):
            return "not monotonic"
        return "falling" if down > up else "rising"


def fit_logistic(scores: ArrayLike, mos: ArrayLike) -> LogisticFit:
    """Fit the five-parameter logistic by least squares.

    ``f(s) = b1 (1/2 - 1 / (1 + exp(b2 (s - b3)))) + b4 s + b5``: Sheikh, Sabir, Bovik, *A statistical evaluation of
    recent full reference image quality assessment algorithms*, IEEE TIP 2006, Eq. 10.

    For a given slope ``b2`` and centre ``b3`` the best other three are a linear least-squares problem; so only these
    two are searched. Their error surface has several valleys: a fine grid finds them, and the deepest few are followed
    down. That always ends, and never worse than a straight line. The slope is at most 10 per standard deviation.

    Raises:
        ValueError: No more images than the curve has parameters, scores that are all the same, or NaN or infinity.
    """
    from scipy.ndimage import maximum_filter
    from scipy.optimize import least_squares

    x, y = np.asarray(scores, np.float64), np.asarray(mos, np.float64)
    if len(x) <= 5:
        raise ValueError(f"the logistic fit has 5 parameters and needs more images than that, but {len(x)} came")
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
        """The other three parameters, and what is left of opinion."""
        known = _terms(z, *nonlinear)
        linear = np.asarray(np.linalg.lstsq(known, y, rcond=None)[0], np.float64)
        return linear, known @ linear - y

    slopes = np.geomspace(0.02, _STEEPEST, 16)
    low, high = float(z.min()) - 1, float(z.max()) + 1
    middles = np.unique([*np.quantile(z, np.linspace(0, 1, 41)), *np.linspace(low, high, 21)])
    gains = _gains(z, y, slopes, middles)
    valleys = np.argwhere(gains == maximum_filter(gains, size=3, mode="nearest"))
    deepest = sorted(valleys.tolist(), key=lambda place: -gains[tuple(place)])[:_STARTS]
    bounds = ([0.01, low], [_STEEPEST, high])
    found = min(
        (
            least_squares(lambda point: best_linear(point)[1], (slopes[i], middles[j]), bounds=bounds)
            for i, j in deepest
        ),
        key=lambda result: float(result.cost),
    ).x
    factors = (best_linear(found)[0] * unit).tolist()
    return LogisticFit(tuple(found.tolist()), tuple(factors), centre, spread, (float(x.min()), float(x.max())))


def _terms(z: Array, slope: float, middle: float) -> Array:
    from scipy.special import expit

    return np.stack([0.5 - expit(-slope * (z - middle)), z, np.ones_like(z)], axis=-1)


def _gains(z: Array, y: Array, slopes: Array, middles: Array) -> Array:
    """How much of the squared error of a straight line each slope and middle takes away, ``(slopes, middles)``."""
    from scipy.special import expit

    line = np.linalg.qr(np.stack([z, np.ones_like(z)], axis=-1))[0]  # (N, 2)
    left = y - line @ (line.T @ y)
    gains = np.zeros((len(slopes), len(middles)))
    for row, slope in zip(gains, slopes, strict=True):
        curves = expit(slope * (z - middles[:, None]))  # (middles, N)
        curves -= (curves @ line) @ line.T
        sizes = np.einsum("mn,mn->m", curves, curves)
        bent = sizes > 1e-12 * len(z)  # what is left of a curve that is as good as straight is rounding
        row[bent] = (curves[bent] @ left) ** 2 / sizes[bent]
    return gains
