"""Flags for images of nearly one colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

FLAGS = ("almost black", "almost white", "almost uniform")
# No measurement stands behind these thresholds, nor behind those in flag(): what justifies them are the pictures of
# tests/workbench/images/test_uniform.py, which come out right.
_LEVEL = 1 / 255
_LEFT_LEVELS = 24  # levels next to black or white that count as empty: too few to stretch into a picture
_MOST_OUTSIDE = 0.001  # share of pixels beyond these levels: hot pixels, and stars
_SQUARE = 16  # pixels


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
    squares = _means_of_squares(full)
    if _is_dark(full, squares):
        return "almost black"
    if _is_dark(1 - full, 1 - squares):
        return "almost white"
    if (squares.max((1, 2)) - squares.min((1, 2))).max() >= 8 * _LEVEL:
        return ""
    mean = full.mean()
    if mean < 16 * _LEVEL:
        return "almost black"
    if mean > 239 * _LEVEL:
        return "almost white"
    return "almost uniform"


def _is_dark(x: NDArray[np.float32], squares: NDArray[np.float32]) -> bool:
    """Return whether hardly a pixel, and no square, is brighter than a tenth of the range.

    A lamp or the moon is brighter in a square or two, though it may have few pixels.
    """
    limit = _LEFT_LEVELS * _LEVEL
    if squares.max() > limit:
        return False
    is_bright = x.max(0) > limit
    return bool(is_bright.mean() <= _MOST_OUTSIDE)


def _means_of_squares(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of each square of 16 px of ``(C, H, W)``, without what is left at the lower and right border."""
    channels = x.shape[0]
    rows = x.shape[1] // _SQUARE
    columns = x.shape[2] // _SQUARE
    whole = x[:, : rows * _SQUARE, : columns * _SQUARE]
    return whole.reshape(channels, rows, _SQUARE, columns, _SQUARE).mean((2, 4))


def _as_float(x: NDArray[Any]) -> NDArray[np.float32]:
    """Return values in [0, 1], contiguous."""
    return np.divide(x, 255 if x.dtype == np.uint8 else 1, dtype=np.float32, order="C")
