"""Recipes for training (the authors', pyiqa's, our own), and their augmentations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ImageError, Kind
from ..errors.arguments import checked
from ..metric import choice


@dataclass(frozen=True)
class Recipe:
    """Options of training.

    Attributes:
        sgd: Use SGD instead of Adam.
        lr: First learning rate, which falls along half a cosine.
        cosine_epochs: Epochs of this half cosine.
        plcc_loss: Add pyiqa's PLCC loss to the mean squared error.
        batch_size: Images per step; an incomplete batch is left out.
        epochs: Passes over the images.
        crop: Side of random square crops in pixels; None: whole images.
        crops: Number of seeded crops per image.
        seed: Seed of a random context, of crops and of the images' order.
        network: Arguments of :class:`clipiqa_pyiqa.CLIPIQA`.
    """

    sgd: bool = False
    lr: float = 2e-3
    cosine_epochs: float = 50
    plcc_loss: bool = True
    batch_size: int = 8
    epochs: int = 50
    crop: int | None = None
    crops: int = 4
    seed: int = 123
    network: Mapping[str, Any] = field(default_factory=dict)


RECIPES = {
    "plain": Recipe(),  # whole images give exact features
    "official": Recipe(
        sgd=True,
        cosine_epochs=2727,
        plcc_loss=False,
        batch_size=64,
        epochs=727,
        network={"context": {"shared": True, "init": "random"}},
    ),
    "pyiqa": Recipe(crop=384, network={"pos_embedding": True}),
}


def find_recipe(recipe: Recipe | str) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else choice("recipe", recipe, RECIPES)


def with_options(recipe: Recipe, **changes: Any) -> Recipe:
    """Return a recipe with changed options; None changes nothing.

    Args:
        recipe: The recipe.
        **changes: Attributes of :class:`Recipe` (``epochs`` stretches the cosine; ``crop`` 0 means whole images),
            ``n_ctx``, ``shared``, ``init``, or arguments of :class:`clipiqa_pyiqa.CLIPIQA`.

    Raises:
        OptionError: A value is of a wrong kind or out of bounds.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    changed = checked(Recipe)(**{name: changes.pop(name, value) for name, value in vars(recipe).items()})
    if context := {name: changes.pop(name) for name in ("n_ctx", "shared", "init") if name in changes}:
        changes["context"] = {**(recipe.network.get("context") or {}), **context}
    return replace(
        changed,
        crop=changed.crop or None,
        cosine_epochs=changed.cosine_epochs * changed.epochs / recipe.epochs,
        network={**changed.network, **changes},
    )


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
