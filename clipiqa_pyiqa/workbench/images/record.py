"""Images as they are scored: pixels, and how they were read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[Any]  # (H, W, 3), in uint8 or in fp32 in [0, 1]


@dataclass(frozen=True)
class ImageRecord:
    """One image for scoring, and how it was read.

    Attributes:
        pixels: (3, H, W) RGB, uint8, or fp32 in [0, 1] for an image of floats; a view of (H, W, 3) memory.
        width, height: Of the upright image before it was shrunk; ``size`` is that of the pixels.
        converted: Conversion to RGB, such as ``'grey->rgb'``, or ``''``.
        reference: Pixels of the reference image, of the same shape; None if there is none.
        why_no_reference: The reason, part of a sentence.
        folders: Of a set of images: a folder of its files, and perhaps one of references.
    """

    pixels: torch.Tensor
    width: int
    height: int
    orientation: int
    converted: str
    reference: torch.Tensor | None = None
    why_no_reference: str = "there are no reference images"
    folders: Sequence[str] = ()

    @classmethod
    def of(cls, pixels: torch.Tensor, folders: Sequence[str] = ()) -> ImageRecord:
        """Return the record of pixels that were made here, ``(3, H, W)`` uint8 or floats in [0, 1]."""
        _, height, width = pixels.shape
        return cls(pixels, width, height, orientation=1, converted="", folders=folders)

    @property
    def picture(self) -> Image.Image:
        """The pixels as a picture of PIL; floats are rounded to 8 bits."""
        pixels = self.pixels
        if pixels.is_floating_point():
            pixels = (255 * pixels).round().to(torch.uint8)
        return Image.fromarray(pixels.permute(1, 2, 0).numpy())  # (3, H, W) -> (H, W, 3)

    @property
    def shape(self) -> torch.Size:
        return self.pixels.shape

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[2], self.pixels.shape[1]


class Orientation(NamedTuple):
    """How an image is turned: EXIF's number, and why it could not be read; 1, and a reason, of damaged EXIF data."""

    number: int = 1
    problem: str = ""


UPRIGHT = Orientation()


class Decoded(NamedTuple):
    """Pixels as they are stored in a file.

    Attributes:
        converted: As of :class:`ImageRecord`.
        damage: Damage of a JPEG as part of a sentence, or ``''``.
    """

    pixels: Pixels
    orientation: Orientation
    converted: str
    damage: str = ""
