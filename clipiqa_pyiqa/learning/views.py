"""Views of images (whole, flipped, cropped) and their features: what a recipe trains on, drawn by seeds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor

from ..clip.device import scoring_bytes
from ..errors import ImageError, Kind
from ..images.batches import in_batches, prefetch, stacked
from ..images.reader import read_image
from ..metric import CLIPIQA
from .recipe import Recipe


@dataclass(frozen=True)
class View:
    """How an image is looked at.

    Attributes:
        crop: side in pixels of a square part, and where it lies: two numbers in [0, 1), from top to bottom and from
            left to right; None is the whole image.
        flip: whether left and right are exchanged.
    """

    crop: tuple[int, float, float] | None = None
    flip: bool = False

    @property
    def name(self) -> str:
        """The view as a key."""
        crop = "whole" if self.crop is None else f"crop {self.crop[0]} at {self.crop[1]:.6f} {self.crop[2]:.6f}"
        return f"{crop} flipped" if self.flip else crop

    def __call__(self, pixels: Tensor, path: str | os.PathLike[str]) -> Tensor:
        """The part of ``(3, H, W)`` pixels that this view shows."""
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


class Features(Protocol):
    """Where a trainer gets image features from."""

    def draw(self, row: int, generator: torch.Generator) -> View: ...
    def batch(self, rows: Sequence[int], views: Sequence[View]) -> Tensor: ...


class Views:
    """Which views of an image a recipe draws from; the draws of a run do not depend on whether features are cached.

    Args:
        recipe: for its flips and crops.
        seed: of the crops' places.
        exact: draw a fresh crop each time, in place of one of the recipe's few.
    """

    def __init__(self, recipe: Recipe, seed: int, exact: bool = False):
        self.recipe, self.seed, self.exact = recipe, seed, exact

    @property
    def count(self) -> int:
        """How many views of each image features are cached for."""
        return (1 if self.recipe.crop is None else self.recipe.crops) * (1 + self.recipe.hflip)

    def of(self, row: int) -> tuple[View, ...]:
        """All the views of an image that features are cached for."""
        flips = (False, True) if self.recipe.hflip else (False,)
        return tuple(View(crop, flip) for crop in self._crops(row) for flip in flips)

    def draw(self, row: int, generator: torch.Generator) -> View:
        """A view of an image for one step."""
        flip = self.recipe.hflip and bool(torch.randint(2, (), generator=generator))
        if self.recipe.crop is None:
            return View(flip=flip)
        if self.exact:
            return View(_crop(self.recipe.crop, generator), flip)
        crops = self._crops(row)
        return View(crops[int(torch.randint(len(crops), (), generator=generator))], flip)

    def _crops(self, row: int) -> list[tuple[int, float, float] | None]:
        if self.recipe.crop is None:
            return [None]
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, "crops", row))
        return [_crop(self.recipe.crop, generator) for _ in range(self.recipe.crops)]


class CachedFeatures:
    """Features of the training images that exist already.

    Args:
        features: ``(N, V, D)``, of all the views of each image, in the order of :meth:`Views.of`.
        views: what the recipe draws from.
    """

    def __init__(self, features: Tensor, views: Views):
        self._features, self._views = features, views
        self._index = [{view: number for number, view in enumerate(views.of(row))} for row in range(len(features))]

    def draw(self, row: int, generator: torch.Generator) -> View:
        return self._views.draw(row, generator)

    def batch(self, rows: Sequence[int], views: Sequence[View]) -> Tensor:
        return self._features[list(rows), [self._index[row][view] for row, view in zip(rows, views, strict=True)]]


class ImageFeatures:
    """Features of images that are read and encoded at every step: slow, and exact where a recipe crops at random."""

    def __init__(self, metric: CLIPIQA, paths: Sequence[Path], views: Views, device: str | torch.device = "cpu"):
        self._metric, self._paths, self._views, self._device = metric, paths, views, device

    def draw(self, row: int, generator: torch.Generator) -> View:
        return self._views.draw(row, generator)

    def batch(self, rows: Sequence[int], views: Sequence[View]) -> Tensor:
        wanted = [(self._paths[row], view) for row, view in zip(rows, views, strict=True)]
        cost = scoring_bytes(self._metric, torch.device(self._device)) if self._views.recipe.crop is None else 0
        images = prefetch(lambda item: item[1](read_image(item[0]).pixels, item[0]), wanted, scoring=cost)

        def work(_: Sequence[object], pixels: Sequence[Tensor]) -> Tensor:
            return encode_views(self._metric, pixels, self._device)

        return torch.stack(list(in_batches(images, work, refuse, batch_size=len(rows))))


def encode_views(
    metric: CLIPIQA, views: Sequence[Tensor], device: str | torch.device = "cpu", stages: bool = False
) -> Tensor:
    """Unit features ``(N, D)`` of N uint8 pixel tensors ``(3, H, W)`` of equal shape, fp32 on the CPU.

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
    """The views to validate on: each image as it is."""
    return [(WHOLE,)] * count


def mixed_seed(*parts: Any) -> int:
    """A seed that differs for each combination of its parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def _crop(side: int, generator: torch.Generator) -> tuple[int, float, float]:
    down, right = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return side, down, right
