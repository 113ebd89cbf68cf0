"""Flags for images of nearly one colour."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FLAGS = ("almost black", "almost white", "almost uniform")
_LEVEL = 1 / 255


def flag(pixels: Tensor) -> str:
    """Return ``'almost black'``, ``'almost white'`` or ``'almost uniform'``; for any other image, return ``''``.

    Args:
        pixels: RGB image ``(3, H, W)``, uint8 or in [0, 1], at least 32 pixels wide and high.
    """
    x = pixels.numpy()
    height, width = pixels.shape[1:]
    samples = _as_float(x[1, :: height // 5, :: width // 5])
    if samples.max() - samples.min() >= 0.5:  # most images end here
        return ""
    full = _as_float(x)
    if full.std((1, 2)).max() >= 16 * _LEVEL:
        return ""
    blocks = torch.nn.functional.avg_pool2d(torch.from_numpy(full), 16).flatten(1)
    if (blocks.amax(1) - blocks.amin(1)).max() >= 8 * _LEVEL:
        return ""
    mean = full.mean()
    if mean < 16 * _LEVEL:
        return "almost black"
    if mean > 239 * _LEVEL:
        return "almost white"
    return "almost uniform"


def _as_float(x: NDArray[Any]) -> NDArray[np.float32]:
    """Return values in [0, 1], contiguous."""
    return np.divide(x, 255 if x.dtype == np.uint8 else 1, dtype=np.float32, order="C")
