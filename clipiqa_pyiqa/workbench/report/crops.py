"""Crops where versions of an image differ."""

import contextlib
import sys
from collections.abc import Mapping

import numpy as np
from PIL import Image

from ...errors import ImageError
from .thumbnail import thumbnail


def differing_crops(files: Mapping[str, str], side: int = 176) -> dict[str, Image.Image]:
    """Return each version's crop at the square where the readable versions of one size differ most."""
    from scipy.ndimage import uniform_filter

    pictures, size = {}, None
    for who, path in files.items():
        with contextlib.suppress(ImageError):
            picture = thumbnail(path, sys.maxsize)
            size = size or picture.size
            if picture.size == size:
                pictures[who] = picture
    if size is None:
        return {}
    wide, high = (min(side, length) for length in size)
    variance = np.var([*map(np.asarray, pictures.values())], axis=0, dtype=np.float32).mean(axis=2)
    means = uniform_filter(variance, (high, wide))[high // 2 :, wide // 2 :]  # of the squares around each pixel
    whole = means[: size[1] - high + 1, : size[0] - wide + 1]  # squares that lie inside
    top, left = map(int, np.unravel_index(whole.argmax(), whole.shape))
    return {who: picture.crop((left, top, left + wide, top + high)) for who, picture in pictures.items()}
