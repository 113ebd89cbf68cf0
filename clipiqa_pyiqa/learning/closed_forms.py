"""Least squares and ridge regression, with leave-one-out predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

_PENALTIES = np.logspace(-6, 3, 37)  # factors of the largest variance
Array = NDArray[np.float64]


class RatedPhotos(NamedTuple):
    """Features ``(n, D + K)``, a head's inputs ``(n, K)``, zero-shot scores and people's scores in [0, 1], ``(n,)``."""

    features: Tensor
    x: Array
    zero_shot: Array
    shares: Array

    def at(self, rows: NDArray[Any]) -> RatedPhotos:
        return RatedPhotos(self.features[rows], self.x[rows], self.zero_shot[rows], self.shares[rows])


class Fitted(NamedTuple):
    """A head's tensors, leave-one-out predictions, and ridge regression's penalty."""

    tensors: Mapping[str, NDArray[np.floating[Any]]]
    left_out: Array
    penalty: float = 0.0


def fit_affine(photos: RatedPhotos) -> Fitted:
    """Return the fitted line from zero-shot scores to people's scores."""
    basis, q = _line(photos)
    prior, *_ = np.linalg.lstsq(basis, photos.shares, rcond=None)
    residuals = _left_out(photos.shares - basis @ prior, (q * q).sum(1))
    return Fitted({"prior": prior}, photos.shares - residuals)


def fit_ridge(photos: RatedPhotos) -> Fitted:
    """Return the fit of a line plus a penalised linear function of all inputs."""
    mean, scale = _moments(photos.x)
    x = (photos.x - mean) / scale
    basis, q = _line(photos)  # the line has no penalty: fit the part that it does not explain
    rest, y = x - q @ (q.T @ x), photos.shares - q @ (q.T @ photos.shares)
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
        return _left_out(y - left @ (shrunk * along), line + (left * left) @ shrunk)

    penalty = min((*(_PENALTIES * variances[-1]), math.inf), key=lambda penalty: np.mean(residuals(penalty) ** 2))
    weight = rest.T @ (left @ (along / (variances + penalty)))
    prior, *_ = np.linalg.lstsq(basis, photos.shares - x @ weight, rcond=None)
    tensors = {"prior": prior, "mean": mean, "weight": weight / scale}
    return Fitted(tensors, photos.shares - residuals(penalty), float(penalty))


FITS = {"affine": fit_affine, "ridge": fit_ridge}


def _line(photos: RatedPhotos) -> tuple[Array, Array]:
    basis = np.column_stack([photos.zero_shot, np.ones_like(photos.zero_shot)])
    return basis, np.linalg.qr(basis)[0]  # the second value is an orthonormal basis


def _moments(x: Array) -> tuple[Array, Array]:
    scale = x.std(axis=0)
    return x.mean(axis=0), np.where(scale > 1e-6 * scale.max(), scale, scale.max() or 1.0)


def _left_out(residuals: Array, leverage: Array) -> Array:
    return residuals / np.maximum(1 - leverage, 1e-9)
