"""Sizes of images: their limits, and the shrinking of images to them."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ...errors import ImageError, Kind
from ..options import Reading, Sizes


def check_size(width: int, height: int, reading: Reading, cause: str = "it") -> None:
    """Raise ``ImageError`` if a side is too short; ``cause`` begins the sentence."""
    if min(width, height) < reading.min_side:
        raise ImageError(
            f"is too small: {cause} is {width}×{height} pixels, and both sides must be at least {reading.min_side}",
            Kind.TOO_SMALL,
        )


def limited(width: int, height: int, sizes: Sizes) -> tuple[int, int]:
    """Return the width and height of an image of this size after shrinking."""
    by_side = (sizes.max_side or math.inf) / max(width, height)
    by_pixels = math.sqrt((sizes.max_pixels or math.inf) / (width * height))
    scale = min(1.0, by_side, by_pixels)
    if scale == 1.0:
        return width, height
    return max(1, int(width * scale + 1e-6)), max(1, int(height * scale + 1e-6))


def shrunk(pixels: torch.Tensor, sizes: Sizes) -> torch.Tensor:
    """Return pixels ``(3, H, W)``, uint8 or floats in [0, 1], of the size that the reader would give them."""
    height, width = pixels.shape[1:]
    size = limited(width, height, sizes)
    if size == (width, height):
        return pixels
    rgb = resized(pixels.permute(1, 2, 0).numpy(), size)  # (3, H, W) -> (H, W, 3)
    return torch.from_numpy(rgb).permute(2, 0, 1)


def resized(rgb: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return pixels ``(H, W, 3)``, uint8 or floats in [0, 1], in another size (width, height)."""
    if rgb.dtype == np.uint8:
        return np.array(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))
    channels = [Image.fromarray(rgb[..., n]).resize(size, Image.Resampling.LANCZOS) for n in range(3)]
    return np.dstack([np.asarray(channel) for channel in channels]).clip(0, 1)
