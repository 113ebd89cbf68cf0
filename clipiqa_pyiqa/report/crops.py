"""Where versions of a picture differ: the place of a picture at which they do so most, cut out at its own size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from ..images.reader import read_image

Pixels = NDArray[np.uint8]


def differing_crops(files: Sequence[str], side: int = 176, apply_exif: bool = True) -> list[Image.Image | None]:
    """The same square of several versions of a picture, unscaled, where they differ most from one another.

    Args:
        files: The versions; a reference may be among them.
        side: Width and height in pixels, at most the picture's.
        apply_exif: Whether files are turned upright.

    Returns:
        A crop of each; None of one that cannot be read or is of another size than the first that can.
    """
    found = [_pixels(path, apply_exif) for path in files]
    first = next((pixels for pixels in found if pixels is not None), None)
    if first is None:
        return [None] * len(files)
    alike = [pixels is not None and pixels.shape == first.shape for pixels in found]
    versions = [pixels for pixels, same in zip(found, alike, strict=True) if same and pixels is not None]
    left, top, width, height = most_different(versions, side)
    return [
        Image.fromarray(pixels[top : top + height, left : left + width]) if same and pixels is not None else None
        for pixels, same in zip(found, alike, strict=True)
    ]


def most_different(versions: Sequence[Pixels], side: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of the square in which the variance over versions is largest.

    Args:
        versions: ``(H, W, 3)`` each, all of one size.
        side: Of the square.
    """
    height, width = versions[0].shape[:2]
    high, wide = min(side, height), min(side, width)
    variance = np.zeros((height, width))
    mean = sum(v.astype(np.float64) for v in versions) / len(versions)
    for version in versions:
        variance += ((version - mean) ** 2).mean(axis=2)
    summed = np.pad(variance.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = summed[high:, wide:] - summed[:-high, wide:] - summed[high:, :-wide] + summed[:-high, :-wide]
    top, left = np.unravel_index(int(np.argmax(boxes)), boxes.shape)
    return int(left), int(top), wide, high


def _pixels(path: str, apply_exif: bool) -> Pixels | None:
    try:
        return (
            read_image(path, apply_exif=apply_exif, min_side=1).pixels.permute(1, 2, 0).numpy()
        )  # (3, H, W) -> (H, W, 3)
    except ImageError:
        return None
