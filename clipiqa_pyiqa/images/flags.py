"""Flags for images that are not photos: noise, and images of nearly one colour."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SAMPLES = 128  # about as many rows and columns are looked at
_SMALLEST = 64  # side of the smallest image in which noise can be told from a photo
_LEVEL = 1 / 255


def flag(pixels: Tensor) -> str:
    """Return ``'noise'``, ``'almost black'``, ``'almost white'`` or ``'almost uniform'``; for a photo, return ``''``.

    Args:
        pixels: RGB image ``(3, H, W)``, uint8 or in [0, 1], at least 32 pixels wide and high.
    """
    x, (height, width) = pixels.numpy(), pixels.shape[1:]
    few = _as_float(x[1, :: height // 5, :: width // 5])
    if few.max() - few.min() < 0.5 and (full := _as_float(x)).std((1, 2)).max() < 16 * _LEVEL:
        blocks = torch.nn.functional.avg_pool2d(torch.from_numpy(full), 16).flatten(1)
        if (blocks.amax(1) - blocks.amin(1)).max() < 8 * _LEVEL:
            mean = full.mean()
            return "almost " + ("black" if mean < 16 * _LEVEL else "white" if mean > 239 * _LEVEL else "uniform")
    return "noise" if min(height, width) >= _SMALLEST and _is_noise(x) else ""


def _as_float(x: NDArray[Any]) -> NDArray[np.float32]:
    """Return values in [0, 1], contiguous."""
    return np.divide(x, 255 if x.dtype == np.uint8 else 1, dtype=np.float32, order="C")


def has_band(pixels: Tensor) -> bool:
    """Return whether an eighth of the rows or columns of an image ``(3, H, W)``, uint8, have no structure at all."""
    for x in (pixels, pixels.transpose(1, 2)):
        spread = np.ptp(x.numpy(), 2).max(0)
        structured = np.flatnonzero(spread > 2)
        if np.diff(structured, prepend=-1, append=len(spread)).max() > len(spread) / 8:
            return True
    return False


def _is_noise(x: NDArray[Any]) -> bool:
    """Return whether neighbouring places differ as much as distant ones.

    In photos, nearby places are alike at every scale; in noise, only within its grains.
    """
    step = max(1, min(x.shape[1:]) // _SAMPLES)
    scales = [samples := _as_float(x[:, ::step, ::step])]
    while min(scales[-1].shape[1:]) >= 16:  # until 8 to 15 cells are left
        scales.append(_halved(scales[-1]))
    if _likeness(scales[2]) < 0.25 or _likeness(scales[3]) < 0.12:
        return True
    coarsest = _likeness(scales[-1])
    if coarsest > 0.6:
        return False
    unlike = 1 - np.array(list(map(_likeness, scales)))
    steep = (unlike[2:] > 0.3) & (unlike[2:] > 8.5 * unlike[:-2])
    if coarsest < 0.3 and steep.any():  # grains enlarged smoothly
        return True
    with np.errstate(invalid="ignore"):
        channels = np.mean(np.corrcoef(samples.reshape(3, -1)))  # 1/3 for unrelated channels
    if unlike[1] > 3 * unlike[0] and abs(channels - 1 / 3) < 0.07:  # the same, in each channel by itself
        return True
    rows = _as_float(x[:, ::8])
    steps = np.diff(rows, axis=2)
    share = (np.abs(steps).max(0) > _LEVEL / 2).mean()
    # grains enlarged by repetition: neighbours are equal, or as unlike as unrelated pixels
    return bool(np.square(steps).mean() > 0.9 * 2 * rows.var() * share)


def _halved(x: NDArray[Any]) -> NDArray[Any]:
    x = x[:, :-1:2] + x[:, 1::2]  # without the last row of an odd number
    return (x[:, :, :-1:2] + x[:, :, 1::2]) / 4


def _likeness(x: NDArray[Any]) -> float:
    x = x - x.mean((1, 2), keepdims=True)
    across, down = (x[:, :, 1:] * x[:, :, :-1]).mean(), (x[:, 1:] * x[:, :-1]).mean()
    return float((across + down) / 2 / (np.square(x).mean() + 1e-12))
