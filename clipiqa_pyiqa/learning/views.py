"""What a recipe trains on: views of images, drawn by seeds, and their features, stored or encoded at every step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..images.batches import in_batches, prefetch
from ..images.reader import read_image
from ..metric import CLIPIQA
from .feature_store import WHOLE, View, encode, refused
from .recipe import Recipe


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
        images = prefetch(lambda item: item[1](read_image(item[0]).pixels, item[0]), wanted)

        def work(_: Sequence[object], pixels: Sequence[Tensor]) -> Tensor:
            return encode(self._metric, pixels, self._device)

        return torch.stack(list(in_batches(images, work, refused, batch_size=len(rows))))


def whole_views(count: int) -> list[tuple[View, ...]]:
    """The views to validate on: each image as it is."""
    return [(WHOLE,)] * count


def mixed_seed(*parts: Any) -> int:
    """A seed that differs for each combination of its parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def _crop(side: int, generator: torch.Generator) -> tuple[int, float, float]:
    down, right = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return side, down, right
