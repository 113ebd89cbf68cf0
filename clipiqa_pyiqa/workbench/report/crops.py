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

    pictures = _pictures_of_one_size(files)
    if not pictures:
        return {}
    width, height = next(iter(pictures.values())).size
    crop_width = min(side, width)
    crop_height = min(side, height)
    variance = np.var([*map(np.asarray, pictures.values())], axis=0, dtype=np.float32).mean(axis=2)
    # of the squares around each pixel, then of those that lie inside, by their upper left corner
    means = uniform_filter(variance, (crop_height, crop_width))[crop_height // 2 :, crop_width // 2 :]
    means = means[: height - crop_height + 1, : width - crop_width + 1]
    top, left = map(int, np.unravel_index(means.argmax(), means.shape))
    box = (left, top, left + crop_width, top + crop_height)
    return {name: picture.crop(box) for name, picture in pictures.items()}


def _pictures_of_one_size(files: Mapping[str, str]) -> dict[str, Image.Image]:
    """Return the versions that can be read and have the size of the first of them."""
    pictures = dict[str, Image.Image]()
    for name, path in files.items():
        with contextlib.suppress(ImageError):
            pictures[name] = thumbnail(path, sys.maxsize)
    sizes = [picture.size for picture in pictures.values()]
    return {name: picture for name, picture in pictures.items() if picture.size == sizes[0]}
