"""Crops of several versions of an image where the versions differ most."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from ...errors import ImageError
from ...report.contact_sheet import thumbnail


def differing_crops(files: Mapping[str, str], side: int = 176) -> dict[str, Image.Image]:
    """Return each version's crop at the square where the readable versions of one size differ most."""
    pictures: dict[str, Image.Image] = {}
    for who, path in files.items():
        with contextlib.suppress(ImageError):
            picture = thumbnail(path, sys.maxsize)
            if not pictures or picture.size == next(iter(pictures.values())).size:
                pictures[who] = picture
    box = _most_different(list(pictures.values()), side) if pictures else None
    return {who: picture.crop(box) for who, picture in pictures.items()}


def _most_different(versions: Sequence[Image.Image], side: int) -> tuple[int, int, int, int]:
    """Return the box of the square with the largest variance between versions."""
    from scipy.ndimage import uniform_filter

    width, height = versions[0].size
    wide, high = min(side, width), min(side, height)
    variance = np.var([np.asarray(version) for version in versions], axis=0, dtype=np.float32).mean(axis=2)
    means = uniform_filter(variance, (high, wide))[high // 2 :, wide // 2 :]  # of the squares around each pixel
    whole = means[: height - high + 1, : width - wide + 1]  # squares that lie inside
    top, left = map(int, np.unravel_index(whole.argmax(), whole.shape))
    return left, top, left + wide, top + high
