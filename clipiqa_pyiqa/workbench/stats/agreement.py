"""Agreement of a metric's scores with opinions: correlations with intervals, also after a fit."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, arrays
from .correlation import STATISTICS, plccs, why_undefined
from .estimate import Estimate
from .logistic import fit_logistic
from .resampling import estimates

FITTED = ("PLCC fitted", "RMSE fitted")


def correlations(
    scores: ArrayLike, mos: ArrayLike, *, bootstrap: int = 1000, seed: int = 0, fit: int = 0
) -> dict[str, Estimate]:
    """Return correlations of scores ``(N,)``, high is good, with human scores; intervals are of resampled images.

    Args:
        bootstrap: Number of resamples; 0 for no intervals.
        fit: Number of parameters, 4 or 5, of a logistic curve fitted to all images; 0 for no fit.

    Returns:
        Estimates of ``STATISTICS`` and, with a fit, ``PLCC fitted`` and ``RMSE fitted``; the last two
        have a caveat if the curve does not rise.
    """
    x, y = arrays(scores, mos)
    reason = why_undefined(x, y)
    if reason:
        names = [*STATISTICS, *FITTED] if fit else [*STATISTICS]
        return dict.fromkeys(names, Estimate(math.nan, reason=reason))
    statistics = {name: statistic(x[None], y) for name, statistic in STATISTICS.items()}
    shape = ""
    if fit:
        try:
            fitted, shape = _fitted_scores(x, y, fit)
        except ValueError as error:
            reason = str(error)
        else:
            squared_errors = (fitted - y) ** 2
            statistics["PLCC fitted"] = plccs(fitted[None], y)
            statistics["RMSE fitted"] = lambda counts: np.sqrt(counts @ squared_errors / counts.sum(1))[None]

    def statistics_of(counts: Array) -> Array:
        return np.concatenate([statistic_of(counts) for statistic_of in statistics.values()])

    named = dict(zip(statistics, estimates(len(x), statistics_of, bootstrap, seed), strict=True))
    if reason:
        named |= dict.fromkeys(FITTED, Estimate(math.nan, reason=reason))
    elif fit and shape != "rising":
        named |= {name: replace(named[name], caveat=f"its fitted curve is {shape}") for name in FITTED}
    return named


def _fitted_scores(x: Array, y: Array, parameters: int) -> tuple[Array, str]:
    """Return the heights of the fitted curve at the scores, and its shape; raise ``ValueError`` without a fit."""
    curve, shape = fit_logistic(x, y, parameters)
    fitted = curve(x)
    reason = why_undefined(fitted, y)
    if reason:
        raise ValueError(reason)
    return fitted, shape
