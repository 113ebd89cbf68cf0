"""Crops of an image's versions at the place where the versions differ most."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from .contact_sheet import thumbnail


def differing_crops(files: Sequence[str], side: int = 176, apply_exif: bool = True) -> list[Image.Image | None]:
    """Return each version's crop at the square where versions differ most; None if unreadable or of another size."""
    pictures: list[Image.Image | None] = []
    for path in files:
        try:
            pictures.append(thumbnail(path, sys.maxsize, apply_exif))
        except ImageError:
            pictures.append(None)
    size = next((picture.size for picture in pictures if picture is not None), None)
    alike = [picture if picture is not None and picture.size == size else None for picture in pictures]
    versions = [np.asarray(picture) for picture in alike if picture is not None]
    if not versions:
        return alike
    left, top, width, height = most_different(versions, side)
    box = (left, top, left + width, top + height)
    return [None if picture is None else picture.crop(box) for picture in alike]


def most_different(versions: Sequence[NDArray[np.uint8]], side: int) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the square with the largest variance between versions."""
    height, width = versions[0].shape[:2]
    high, wide = min(side, height), min(side, width)
    mean = sum(version.astype(np.float64) for version in versions) / len(versions)
    variance = sum(((version - mean) ** 2).mean(axis=2) for version in versions)
    summed = np.pad(np.asarray(variance).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = summed[high:, wide:] - summed[:-high, wide:] - summed[high:, :-wide] + summed[:-high, :-wide]
    top, left = np.unravel_index(int(np.argmax(boxes)), boxes.shape)
    return int(left), int(top), wide, high
