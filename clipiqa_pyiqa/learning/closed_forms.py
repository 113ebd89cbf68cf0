"""How heads are fitted: by least squares, ridge regression and weighted means, with every photo left out in turn.

What a fit would predict of a photo without it follows from one fit to all: no photo is fitted to twice.
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
    """A line through the zero-shot scores, by least squares."""
    basis = np.column_stack([data.zero_shot, np.ones_like(data.zero_shot)])
    prior, *_ = np.linalg.lstsq(basis, data.shares, rcond=None)
    q, _ = np.linalg.qr(basis)
    residuals = data.shares - basis @ prior
    return Fitted({"prior": prior}, {}, data.shares - residuals / _kept((q * q).sum(1)))


def fit_ridge(data: Data) -> Fitted:
    """The line and a penalised linear function of all features, fitted together; the penalty by leaving one out."""
    mean, scale = _moments(data.x)
    x = (data.x - mean) / scale
    basis = np.column_stack([data.zero_shot, np.ones_like(data.zero_shot)])
    q, _ = np.linalg.qr(basis)  # the line is not penalised: fit what it leaves over
    rest, y = x - q @ (q.T @ x), data.shares - q @ (q.T @ data.shares)
    if rest.shape[0] <= rest.shape[1]:
        variances, left = np.linalg.eigh(rest @ rest.T)
    else:
        variances, right = np.linalg.eigh(rest.T @ rest)
        left = rest @ right / np.sqrt(np.maximum(variances, 1e-12 * variances[-1]))
    keep = variances > 1e-10 * variances[-1]
    variances, left = variances[keep], left[:, keep]
    along, line = left.T @ y, (q * q).sum(1)
    best: tuple[float, float, Array] = (math.inf, math.inf, y)
    for penalty in (*(_PENALTIES * variances[-1]), math.inf):
        shrunk = variances / (variances + penalty)
        residuals = (y - left @ (shrunk * along)) / _kept(line + (left * left) @ shrunk)
        error = float(np.mean(residuals**2))
        if error < best[0]:
            best = error, float(penalty), residuals
    _, penalty, residuals = best
    weight = rest.T @ (left @ (along / (variances + penalty)))
    prior, *_ = np.linalg.lstsq(basis, data.shares - x @ weight, rcond=None)
    tensors = {"prior": prior, "mean": mean, "weight": weight / scale}
    # JSON knows no infinity: the largest number stands for no correction at all
    return Fitted(tensors, {"penalty": min(penalty, float(np.finfo(float).max))}, data.shares - residuals)


def fit_cache(data: Data) -> Fitted:
    """Scores of rated photos weighted by similarity, mixed with the line; how, by leaving one out."""
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


def _moments(x: Array) -> tuple[Array, Array]:
    scale = x.std(axis=0)
    return x.mean(axis=0), np.where(scale > 1e-6 * scale.max(), scale, scale.max() or 1.0)


def _kept(leverage: Array) -> Array:
    """What is left of a residual's own share in it; next to nothing where a photo alone decides its prediction."""
    return np.maximum(1 - leverage, 1e-9)
