"""Recipes for training: the authors', pyiqa's, and our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

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
