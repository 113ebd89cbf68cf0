"""Views of images (whole, flipped, cropped) and their features: what a recipe trains on, drawn by seeds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from ..errors import ImageError, Kind
from ..images.batches import in_batches, prefetch, stacked
from ..images.reader import read_image
from ..metric import CLIPIQA, scoring_bytes
from .recipe import Recipe


@dataclass(frozen=True)
class View:
    """How an image is looked at.

    Attributes:
        crop: Side in pixels of a square part, and its place: two numbers in [0, 1), from top to bottom and from left
            to right; None is the whole image.
        flip: Whether left and right are exchanged.
    """

    crop: tuple[int, float, float] | None = None
    flip: bool = False

    @property
    def name(self) -> str:
        """The view as a key."""
        crop = "whole" if self.crop is None else f"crop {self.crop[0]} at {self.crop[1]:.6f} {self.crop[2]:.6f}"
        return f"{crop} flipped" if self.flip else crop

    def __call__(self, pixels: Tensor, path: str | os.PathLike[str]) -> Tensor:
        """Return the part of ``(3, H, W)`` pixels that this view shows."""
        if self.crop is not None:
            side, down, right = self.crop
            height, width = pixels.shape[1:]
            if min(height, width) < side:
                why = f"is {width}×{height} px, too small for crops of {side} px"
                raise ImageError(why, Kind.TOO_SMALL, os.fspath(path))
            top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
            pixels = pixels[:, top : top + side, left : left + side]
        return pixels.flip(2) if self.flip else pixels


WHOLE = View()
Features = Callable[[list[int], torch.Generator], Tensor]
"""Rows of images -> the features ``(N, D)`` of a view of each, drawn by the generator."""


@dataclass(frozen=True)
class Views:
    """The views of images from which a recipe draws; a run draws the same ones whether or not features are stored.

    Attributes:
        recipe: For its flips and crops.
        seed: Of the places of crops.
        exact: Whether each draw makes a fresh crop, in place of one of the recipe's few.
    """

    recipe: Recipe
    seed: int
    exact: bool = False

    def of(self, row: int) -> tuple[View, ...]:
        """Return all the views of an image for which features are stored."""
        flips = (False, True) if self.recipe.hflip else (False,)
        return tuple(View(crop, flip) for crop in self._crops(row) for flip in flips)

    def draw(self, row: int, generator: torch.Generator) -> View:
        """Return a view of an image for one step."""
        flip = self.recipe.hflip and bool(torch.randint(2, (), generator=generator))
        if self.recipe.crop is None:
            return View(flip=flip)
        if self.exact:
            return View(_crop(self.recipe.crop, generator), flip)
        return View(self._crops(row)[int(torch.randint(self.recipe.crops, (), generator=generator))], flip)

    def _crops(self, row: int) -> list[tuple[int, float, float] | None]:
        if self.recipe.crop is None:
            return [None]
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, "crops", row))
        return [_crop(self.recipe.crop, generator) for _ in range(self.recipe.crops)]


def stored_features(features: Tensor, views: Views) -> Features:
    """Return a function that looks up features ``(N, V, D)`` of all the views of each image."""
    columns = [{view: column for column, view in enumerate(views.of(row))} for row in range(len(features))]
    return lambda rows, generator: features[rows, [columns[row][views.draw(row, generator)] for row in rows]]


def image_features(
    metric: CLIPIQA, paths: Sequence[Path], views: Views, device: str | torch.device = "cpu"
) -> Features:
    """Return a function that reads and encodes images each time: slow, and exact where a recipe crops at random."""
    cost = scoring_bytes(metric, torch.device(device)) if views.recipe.crop is None else 0

    def encode(rows: list[int], generator: torch.Generator) -> Tensor:
        drawn = [(paths[row], views.draw(row, generator)) for row in rows]
        images = prefetch(lambda item: item[1](read_image(item[0]).pixels, item[0]), drawn, scoring=cost)
        work = lambda _, pixels: encode_views(metric, pixels, device)  # noqa: E731
        return torch.stack(list(in_batches(images, work, refuse, batch_size=len(rows))))

    return encode


def encode_views(
    metric: CLIPIQA, views: Sequence[Tensor], device: str | torch.device = "cpu", stages: bool = False
) -> Tensor:
    """Return unit features ``(N, D)`` of N uint8 pixel tensors ``(3, H, W)`` of equal shape, fp32 on the CPU.

    With ``stages`` the statistics of every stage follow: ``(N, D + K)``.
    """
    with torch.no_grad():
        x = stacked(views, device)
        return (metric.encode_stages(x) if stages else metric.encode_image(x)).float().cpu()


def refuse(key: Sequence[Any], pixels: Tensor | None, error: ImageError) -> NoReturn:
    """Raise what is wrong with an image; its key begins with its path."""
    if pixels is None:
        raise error
    raise ImageError(f"cannot be encoded: {error.reason.rstrip('.')}", error.kind, os.fspath(key[0]))


def whole_views(count: int) -> list[tuple[View, ...]]:
    """Return the views to validate on: each image as it is."""
    return [(WHOLE,)] * count


def mixed_seed(*parts: Any) -> int:
    """Return a seed that differs for each combination of its parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def _crop(side: int, generator: torch.Generator) -> tuple[int, float, float]:
    down, right = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return side, down, right
