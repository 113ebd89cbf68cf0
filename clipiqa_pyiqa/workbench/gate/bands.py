"""Images of the new run that have a band of one colour, as if they had ended early."""

import numpy as np
from pandas import DataFrame
from torch import Tensor

from ..images.image import Image
from ..images.prefetch import prefetch
from ..options import AnySize
from .row_images import images_of_rows

_WIDEST = 1 / 8
"""Share of rows or columns of one colour above which a new image may be cut."""
_PLAIN = 1 / 32
"""Share from which an image of the base has a plain background of its own."""
_PLAIN_SPREAD = 4
"""Levels of 255 by which such a background may vary: a JPEG's white is not quite even."""


def band(pixels: Tensor, spread: int = 2) -> float:
    """Return the largest share of neighbouring rows or columns of an image ``(3, H, W)``, uint8, that have one colour.

    Args:
        spread: Levels by which the values in a row, or in a column, may differ.
    """
    widest = 0.0
    for x in (pixels, pixels.transpose(1, 2)):
        spreads = np.ptp(x.numpy(), 2).max(0)
        structured = np.flatnonzero(spreads > spread)
        gaps = np.diff(structured, prepend=-1, append=len(spreads)) - 1
        widest = max(widest, gaps.max() / len(spreads))
    return float(widest)


def has_plain_band(pixels: Tensor) -> bool:
    """Return whether an image of the base has a plain background, so that a band of its new image is no cut."""
    return band(pixels, _PLAIN_SPREAD) >= _PLAIN


def cut_rows(paths: DataFrame) -> tuple[list[str], list[str]]:
    """Return the rows whose new image has a band where the base image has none; and those whose base cannot be read."""
    reading = AnySize(damaged="keep")

    def has_band(row_and_image: tuple[str, Image]) -> bool:
        return band(row_and_image[1].load(reading).pixels) > _WIDEST

    def is_plain(row_and_image: tuple[str, Image]) -> bool:
        return has_plain_band(row_and_image[1].load(reading).pixels)

    # an answer about an image that cannot be read is an ImageError, which is neither true nor false
    new_answers = {row: answer for (row, _), answer in prefetch(has_band, images_of_rows(paths["new"]))}
    suspects = paths["base"].loc[[row for row, answer in new_answers.items() if answer is True]]
    base_answers = {row: answer for (row, _), answer in prefetch(is_plain, images_of_rows(suspects))}
    cut = [row for row in suspects.index if base_answers.get(row) is False]
    unknown = [row for row in suspects.index if base_answers.get(row) not in (True, False)]
    return cut, unknown
