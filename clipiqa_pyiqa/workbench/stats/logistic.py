"""Logistic curves from scores to opinions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, arrays
from .correlation import why_undefined

_STEEPEST = 10.0  # largest slope, per standard deviation of the scores: a steeper curve would fit noise
_FLATTEST = 1e-3  # smallest slope: nearly a straight line
_TURN = 1e-3  # a fall of less than this share of the curve's rise does not show in three digits


def fit_logistic(scores: ArrayLike, mos: ArrayLike, parameters: int = 4) -> tuple[Callable[[ArrayLike], Array], str]:
    """Return the least-squares logistic curve from scores ``(N,)`` to human scores ``(N,)``.

    Four parameters give the monotone ``f(s) = b1 (1/2 - 1 / (1 + exp(b2 (s - b3)))) + b4``; the fifth adds ``b5 s``
    (Sheikh, Sabir, Bovik, IEEE TIP 2006, Eq. 10).

    Returns:
        The curve, as a function of scores, and its shape between the lowest and the highest score: ``'rising'``,
        ``'falling'`` or ``'not monotonic'``.

    Raises:
        ValueError: There are too few images for the parameters, or no correlation (:func:`why_undefined`).
    """
    x, y = arrays(scores, mos)
    if len(x) <= parameters:
        raise ValueError(f"the logistic fit has {parameters} parameters and needs more images; got {len(x)}")
    reason = why_undefined(x, y)
    if reason:
        raise ValueError(f"there is no logistic fit: {reason}")
    centre = x.mean()
    spread = x.std()
    unit = np.ptp(y)

    def standardised(scores: ArrayLike) -> Array:
        return (np.asarray(scores, np.float64) - centre) / spread

    # scores so that one grid of starts fits every metric's range, opinions since least_squares has absolute tolerances
    fit = _Fit(standardised(x), y / unit, parameters)
    best = fit.best_slope_and_middle()
    factors = fit.factors(fit.terms(fit.scores, best)) * unit

    def curve(scores: ArrayLike) -> Array:
        return fit.terms(standardised(scores), best) @ factors

    return curve, _shape(curve(np.linspace(x.min(), x.max(), 2000)))


@dataclass(frozen=True)
class _Fit:
    """A search for the logistic curve from scores ``(N,)`` to opinions ``(N,)`` with the least squared error.

    The curve is a sum of terms with factors. The best factors follow from the slope and the middle of the first term,
    so only these two are searched for.
    """

    scores: Array
    opinions: Array
    parameters: int

    def terms(self, scores: Array, slope_and_middle: Sequence[float]) -> Array:
        """Return the curve's terms at scores ``(…,)``: ``(…, 2)``, or 3 with five parameters."""
        from scipy.special import expit

        slope, middle = slope_and_middle
        step = 0.5 - expit(-slope * (scores - middle))
        terms = [step, np.ones_like(scores)]
        if self.parameters == 5:
            terms.append(scores)
        return np.stack(terms, axis=-1)

    def factors(self, terms: Array) -> Any:
        """Return the best factors of the terms at the scores."""
        return np.linalg.lstsq(terms, self.opinions, rcond=None)[0]

    def errors(self, slope_and_middle: Sequence[float]) -> Array:
        """Return the curve's heights minus the opinions, with the best factors."""
        terms = self.terms(self.scores, slope_and_middle)
        return terms @ self.factors(terms) - self.opinions

    def squared_error(self, slope_and_middle: Sequence[float]) -> float:
        return float(np.sum(self.errors(slope_and_middle) ** 2))

    def best_slope_and_middle(self) -> Sequence[float]:
        """Return the best of several local fits."""
        from scipy.optimize import least_squares

        low = self.scores.min() - 1
        high = self.scores.max() + 1
        middles = np.unique([*np.quantile(self.scores, np.linspace(0, 1, 41)), *np.linspace(low, high, 21)])
        bounds = ([_FLATTEST, low], [_STEEPEST, high])
        fits = []
        for slope in np.geomspace(0.02, _STEEPEST, 8):
            start = min(((slope, middle) for middle in middles), key=self.squared_error)
            fits.append(least_squares(self.errors, start, bounds=bounds))
        return min(fits, key=lambda fit: fit.cost).x


def _shape(heights: Array) -> str:
    """Return the name of a curve's shape, whose heights are at ascending scores."""
    steps = np.diff(heights)
    rise = steps[steps > 0].sum()
    fall = -steps[steps < 0].sum()
    if min(rise, fall) > _TURN * max(rise, fall):
        return "not monotonic"
    return "falling" if fall > rise else "rising"
