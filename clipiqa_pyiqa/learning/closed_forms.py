"""Least squares and ridge regression."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PENALTIES = np.logspace(-6, 3, 37)  # factors of the largest variance
Array = NDArray[np.float64]
Fitted = Mapping[str, NDArray[np.floating[Any]]]
"""A head's tensors: ``prior`` ``(2,)``, and for ridge regression ``mean`` and ``weight`` ``(K,)``."""


class RatedPhotos(NamedTuple):
    """A head's inputs ``(n, K)``; zero-shot scores ``(n,)``; people's scores ``(n,)``, in [0, 1]."""

    x: Array
    zero_shot: Array
    shares: Array

    def at(self, rows: NDArray[Any]) -> RatedPhotos:
        return RatedPhotos(self.x[rows], self.zero_shot[rows], self.shares[rows])


def fit_affine(photos: RatedPhotos) -> Fitted:
    return {"prior": np.linalg.lstsq(_basis(photos), photos.shares, rcond=None)[0]}


def fit_ridge(photos: RatedPhotos) -> Fitted:
    """Return the fit of a line plus a penalised linear function of all inputs.

    The penalty is the one with the smallest error when each photo is predicted from all other photos.
    """
    mean, scale = photos.x.mean(axis=0), photos.x.std(axis=0)
    scale = np.where(scale > 1e-6 * scale.max(), scale, scale.max() or 1.0)
    x = (photos.x - mean) / scale
    q = np.linalg.qr(_basis(photos))[0]  # the line has no penalty: fit what the line does not explain
    rest, y = x - q @ (q.T @ x), photos.shares - q @ (q.T @ photos.shares)
    if rest.shape[0] <= rest.shape[1]:
        variances, left = np.linalg.eigh(rest @ rest.T)
    else:
        variances, right = np.linalg.eigh(rest.T @ rest)
        left = rest @ right / np.sqrt(np.maximum(variances, 1e-12 * variances[-1]))
    keep = variances > 1e-10 * variances[-1]
    variances, left = variances[keep], left[:, keep]
    along, line = left.T @ y, (q * q).sum(1)

    def error(penalty: float) -> float:
        shrunk = variances / (variances + penalty)
        leverage = line + (left * left) @ shrunk
        return float(np.mean(((y - left @ (shrunk * along)) / np.maximum(1 - leverage, 1e-9)) ** 2))

    penalty = min((*(PENALTIES * variances[-1]), math.inf), key=error)
    weight = rest.T @ (left @ (along / (variances + penalty)))
    prior, *_ = np.linalg.lstsq(_basis(photos), photos.shares - x @ weight, rcond=None)
    return {"prior": prior, "mean": mean, "weight": weight / scale}


def predict(fitted: Fitted, photos: RatedPhotos) -> Array:
    """Return predictions ``(n,)``, as shares of the score range."""
    line = _basis(photos) @ fitted["prior"]
    return line + (photos.x - fitted["mean"]) @ fitted["weight"] if "weight" in fitted else line


FITS = {"affine": fit_affine, "ridge": fit_ridge}


def _basis(photos: RatedPhotos) -> Array:
    return np.column_stack([photos.zero_shot, np.ones_like(photos.zero_shot)])
