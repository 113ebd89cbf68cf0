"""Fits of heads to rated photos, in closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# a head's tensors: `prior` (2,), and for ridge regression `mean` and `weight` (K,)
FittedHead = Mapping[str, NDArray[np.floating[Any]]]

PENALTIES = np.logspace(-6, 3, 37)  # factors of the largest variance


class RatedPhotos(NamedTuple):
    """A head's inputs ``(n, K)``; zero-shot scores ``(n,)``; people's scores ``(n,)``, in [0, 1]."""

    x: Array
    zero_shot: Array
    shares: Array

    def at(self, rows: NDArray[Any]) -> RatedPhotos:
        return RatedPhotos(self.x[rows], self.zero_shot[rows], self.shares[rows])


def fit_affine(photos: RatedPhotos) -> FittedHead:
    """Return the line that predicts people's scores from zero-shot scores with the smallest squared error."""
    return {"prior": np.linalg.lstsq(_line_basis(photos), photos.shares, rcond=None)[0]}


def fit_ridge(photos: RatedPhotos) -> FittedHead:
    """Return the fit of a line plus a penalised linear function of all inputs.

    The penalty is the one with the smallest error when each photo is predicted from all other photos.
    """
    mean = photos.x.mean(axis=0)
    scale = _scale_of(photos.x)
    x = (photos.x - mean) / scale
    # the line has no penalty: fit what the line does not explain
    line = np.linalg.qr(_line_basis(photos))[0]
    rest = x - line @ (line.T @ x)
    shares = photos.shares - line @ (line.T @ photos.shares)
    directions, deviations, _ = np.linalg.svd(rest, full_matrices=False)
    if not deviations[0]:  # inputs that do not vary add nothing to the line
        return {**fit_affine(photos), "mean": mean, "weight": np.zeros_like(mean)}
    variances = deviations[deviations > 1e-5 * deviations[0]] ** 2
    directions = directions[:, : len(variances)]
    explained = directions.T @ shares
    line_leverage = (line * line).sum(1)

    def left_out_error(penalty: float) -> float:
        """Return the mean squared error when each photo is predicted from all others, in closed form."""
        shrunk = variances / (variances + penalty)
        leverage = line_leverage + (directions * directions) @ shrunk
        residuals = shares - directions @ (shrunk * explained)
        return float(np.mean((residuals / np.maximum(1 - leverage, 1e-9)) ** 2))

    penalties = [*(factor * variances[0] for factor in PENALTIES), math.inf]
    penalty = min(penalties, key=left_out_error)
    weight = rest.T @ (directions @ (explained / (variances + penalty)))
    prior, *_ = np.linalg.lstsq(_line_basis(photos), photos.shares - x @ weight, rcond=None)
    return {"prior": prior, "mean": mean, "weight": weight / scale}


FITS = {"affine": fit_affine, "ridge": fit_ridge}


def predict(head: FittedHead, photos: RatedPhotos) -> Array:
    """Return predictions ``(n,)``, as shares of the score range."""
    line = _line_basis(photos) @ head["prior"]
    if "weight" not in head:
        return line
    return line + (photos.x - head["mean"]) @ head["weight"]


def _line_basis(photos: RatedPhotos) -> Array:
    return np.column_stack([photos.zero_shot, np.ones_like(photos.zero_shot)])


def _scale_of(x: Array) -> Array:
    """Return the deviation of each input; inputs that hardly vary get the largest one, which keeps them small."""
    deviations = x.std(axis=0)
    largest = deviations.max()
    return np.where(deviations > 1e-6 * largest, deviations, largest or 1.0)
