"""Augmentations: an image whole, flipped or cropped."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ImageError, Kind
from .recipe import Recipe


class Augmentation(NamedTuple):
    """A whole image, or a square crop: its side in pixels, and its place, down and right, in [0, 1); flipped or not."""

    crop: tuple[int, float, float] | None = None
    flip: bool = False

    @property
    def name(self) -> str:
        crop = "whole" if self.crop is None else f"crop {self.crop[0]} at {self.crop[1]:.6f} {self.crop[2]:.6f}"
        return f"{crop} flipped" if self.flip else crop

    def __call__(self, pixels: Tensor, path: str) -> Tensor:
        if self.crop is not None:
            side, down, right = self.crop
            height, width = pixels.shape[1:]
            if min(height, width) < side:
                reason = f"is {width}×{height} px, too small for crops of {side} px"
                raise ImageError(reason, Kind.TOO_SMALL, path)
            top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
            pixels = pixels[:, top : top + side, left : left + side]
        return pixels.flip(2) if self.flip else pixels


WHOLE = Augmentation()


def augmentations_of(recipe: Recipe, row: int) -> list[Augmentation]:
    crops: list[tuple[int, float, float] | None] = [None]
    if recipe.crop is not None:
        generator = torch.Generator().manual_seed(mixed_seed(recipe.seed, "crops", row))
        places = (torch.rand(2, generator=generator, dtype=torch.float64).tolist() for _ in range(recipe.crops))
        crops = [(recipe.crop, down, right) for down, right in places]
    return [Augmentation(crop, flip) for crop in crops for flip in (False, True)]


def draw_augmentation(recipe: Recipe, generator: torch.Generator) -> int:
    flip = int(torch.randint(2, (), generator=generator))
    crop = 0 if recipe.crop is None else int(torch.randint(recipe.crops, (), generator=generator))
    return 2 * crop + flip


def mixed_seed(*parts: Any) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1
