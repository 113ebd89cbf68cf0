"""Augmentations: the views of an image that a training draws from."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ImageError, Kind
from .recipe import Recipe
from .seeds import seeded

_FLIPS = (False, True)


class Augmentation(NamedTuple):
    """A view of an image to train on; called with pixels ``(3, H, W)``, it returns those of the view.

    Attributes:
        crop: The side of a square crop in pixels, and its place in [0, 1), down and right; None: the whole image.
        flip: Whether left and right are exchanged.
    """

    crop: tuple[int, float, float] | None = None
    flip: bool = False

    def __call__(self, pixels: Tensor, path: str) -> Tensor:
        if self.crop is not None:
            side, down, right = self.crop
            height, width = pixels.shape[1:]
            if min(height, width) < side:
                reason = f"is {width}×{height} px, too small for crops of {side} px"
                raise ImageError(reason, Kind.TOO_SMALL, path)
            top = int(down * (height - side + 1))
            left = int(right * (width - side + 1))
            pixels = pixels[:, top : top + side, left : left + side]
        return pixels.flip(2) if self.flip else pixels


def augmentations_of(recipe: Recipe, row: int) -> list[Augmentation]:
    """Return all views of the image in a row, in the order of :func:`draw_augmentation`'s numbers."""
    crops: list[tuple[int, float, float] | None] = [None]
    if recipe.crop is not None:
        generator = seeded(recipe.seed, "crops", row)
        places = (torch.rand(2, generator=generator, dtype=torch.float64).tolist() for _ in range(recipe.crops))
        crops = [(recipe.crop, down, right) for down, right in places]
    return [Augmentation(crop, flip) for crop in crops for flip in _FLIPS]


def draw_augmentation(recipe: Recipe, generator: torch.Generator) -> int:
    """Return the number of a random view among those of :func:`augmentations_of`."""
    flip_number = int(torch.randint(len(_FLIPS), (), generator=generator))
    crop_number = 0 if recipe.crop is None else int(torch.randint(recipe.crops, (), generator=generator))
    return crop_number * len(_FLIPS) + flip_number
