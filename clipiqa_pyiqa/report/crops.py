"""Crops of an image's versions at the place where the versions differ most."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..errors import ImageError
from .contact_sheet import thumbnail


def differing_crops(files: Sequence[str], side: int = 176) -> list[Image.Image | None]:
    """Return each version's crop at the square where versions differ most; None if unreadable or of another size."""
    pictures: dict[int, Image.Image] = {}
    for number, path in enumerate(files):
        with contextlib.suppress(ImageError):
            picture = thumbnail(path, sys.maxsize)
            if not pictures or picture.size == next(iter(pictures.values())).size:
                pictures[number] = picture
    crops: list[Image.Image | None] = [None] * len(files)
    if pictures:
        box = _most_different(list(pictures.values()), side)
        for number, picture in pictures.items():
            crops[number] = picture.crop(box)
    return crops


def _most_different(versions: Sequence[Image.Image], side: int) -> tuple[int, int, int, int]:
    """Return the box of the square with the largest variance between versions."""
    width, height = versions[0].size
    wide, high = min(side, width), min(side, height)
    pixels = [np.asarray(version) for version in versions]
    mean = sum(each.astype(np.float64) for each in pixels) / len(pixels)
    variance = sum(((each - mean) ** 2).mean(axis=2) for each in pixels)
    summed = np.pad(np.asarray(variance).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = summed[high:, wide:] - summed[:-high, wide:] - summed[high:, :-wide] + summed[:-high, :-wide]
    top, left = map(int, np.unravel_index(np.argmax(boxes), boxes.shape))
    return left, top, left + wide, top + high
