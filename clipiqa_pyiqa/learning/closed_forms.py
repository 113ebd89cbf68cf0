"""How heads are fitted: by least squares, ridge regression and weighted means, with every photo left out in turn.

What a fit would predict of a photo without it follows from one fit to all photos.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

_PENALTIES = np.logspace(-6, 3, 37)  # of the largest variance; and no correction at all
_SHARPNESS = 2.0 ** np.arange(-1, 8)  # by which similarities fall off
_TRUST = 10.0 ** np.linspace(-3, 2, 16)  # rated photos just like it that the zero-shot line is worth
Array = NDArray[np.float64]


class Data(NamedTuple):
    """Rated photos: features ``(n, D + K)``, what a head looks at ``(n, K)``, zero-shot scores and shares ``(n,)``."""

    features: Tensor
    x: Array
    zero_shot: Array
    shares: Array

    def at(self, rows: NDArray[Any]) -> Data:
        return Data(self.features[rows], self.x[rows], self.zero_shot[rows], self.shares[rows])


class Fitted(NamedTuple):
    """A head's tensors and options, and what it predicts of each photo without that photo."""

    tensors: Mapping[str, NDArray[np.floating[Any]]]
    options: dict[str, float]
    left_out: Array


def fit_affine(data: Data) -> Fitted:
    """Fit a line to the zero-shot scores, by least squares."""
    basis, q = _line(data)
    prior, *_ = np.linalg.lstsq(basis, data.shares, rcond=None)
    residuals = data.shares - basis @ prior
    return Fitted({"prior": prior}, {}, data.shares - residuals / _kept((q * q).sum(1)))


def fit_ridge(data: Data) -> Fitted:
    """Fit the line and a penalised linear function of all features together; the penalty by leaving one out."""
    mean, scale = _moments(data.x)
    x = (data.x - mean) / scale
    basis, q = _line(data)  # the line is not penalised: fit what it leaves over
    rest, y = x - q @ (q.T @ x), data.shares - q @ (q.T @ data.shares)
    if rest.shape[0] <= rest.shape[1]:
        variances, left = np.linalg.eigh(rest @ rest.T)
    else:
        variances, right = np.linalg.eigh(rest.T @ rest)
        left = rest @ right / np.sqrt(np.maximum(variances, 1e-12 * variances[-1]))
    keep = variances > 1e-10 * variances[-1]
    variances, left = variances[keep], left[:, keep]
    along, line = left.T @ y, (q * q).sum(1)

    def residuals(penalty: float) -> Array:
        shrunk = variances / (variances + penalty)
        return (y - left @ (shrunk * along)) / _kept(line + (left * left) @ shrunk)

    penalty = min((*(_PENALTIES * variances[-1]), math.inf), key=lambda penalty: np.mean(residuals(penalty) ** 2))
    weight = rest.T @ (left @ (along / (variances + penalty)))
    prior, *_ = np.linalg.lstsq(basis, data.shares - x @ weight, rcond=None)
    # JSON knows no infinity: the largest number stands for no correction at all
    options = {"penalty": min(float(penalty), float(np.finfo(float).max))}
    return Fitted({"prior": prior, "mean": mean, "weight": weight / scale}, options, data.shares - residuals(penalty))


def fit_cache(data: Data) -> Fitted:
    """Mix the line with the scores of rated photos weighted by similarity; sharpness and trust by leaving one out."""
    line = fit_affine(data)
    mean, scale = _moments(data.x)
    points = (data.x - mean) / scale
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    cosines = points @ points.T
    best: tuple[float, dict[str, float], Array] = (math.inf, {}, line.left_out)
    for sharpness in _SHARPNESS:
        weights = np.exp(sharpness * (cosines - 1))
        np.fill_diagonal(weights, 0)
        weighted, total = weights @ data.shares, weights.sum(1)
        for trust in _TRUST:
            predicted = (trust * line.left_out + weighted) / (trust + total)
            error = float(np.mean((predicted - data.shares) ** 2))
            if error < best[0]:
                best = error, {"sharpness": float(sharpness), "trust": float(trust)}, predicted
    tensors = {**line.tensors, "mean": mean, "scale": scale, "points": points, "shares": data.shares}
    return Fitted(tensors, best[1], best[2])


FITS = {"affine": fit_affine, "ridge": fit_ridge, "cache": fit_cache}


def _line(data: Data) -> tuple[Array, Array]:
    """Return zero-shot scores and ones ``(n, 2)``, and an orthonormal basis of these two columns."""
    basis = np.column_stack([data.zero_shot, np.ones_like(data.zero_shot)])
    return basis, np.linalg.qr(basis)[0]


def _moments(x: Array) -> tuple[Array, Array]:
    scale = x.std(axis=0)
    return x.mean(axis=0), np.where(scale > 1e-6 * scale.max(), scale, scale.max() or 1.0)


def _kept(leverage: Array) -> Array:
    """Return the part of a residual that its own photo leaves; tiny where a photo alone decides its prediction."""
    return np.maximum(1 - leverage, 1e-9)
