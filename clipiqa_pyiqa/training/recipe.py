"""Recipes of training: the authors', pyiqa's and a plain one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Unpack

from ..checks import (
    MIN_SIDE,
    check_keys,
    check_number,
    check_one_of,
    check_seed,
    check_truth,
    check_whole,
    check_whole_or_none,
)
from ..options import CLIPIQAOptions
from ..prompts.learned import CONTEXT_OPTIONS, check_context
from ..prompts.pairs import Prompts


class TrainingOptions(CLIPIQAOptions, total=False):
    """Changes of a recipe: fields of :class:`Recipe`, a context, or arguments of :class:`~clipiqa_pyiqa.CLIPIQA`."""

    prompts: Prompts
    sgd: bool | None
    lr: float | None
    min_lr: float | None
    cosine_epochs: float | None
    plcc_loss: bool | None
    batch_size: int | None
    epochs: int | None
    crop: int | None
    crops: int | None
    seed: int | None
    n_ctx: int | None
    shared: bool | None
    init: Literal["x", "random", "words"] | None


@dataclass(frozen=True)
class Recipe:
    """Options of training.

    Attributes:
        sgd: Whether SGD is used, instead of Adam.
        lr: Learning rate of the first epoch.
        min_lr: Learning rate at the end of the cosine.
        cosine_epochs: Epochs after which the cosine ends; more than 0, and possibly more than ``epochs``.
        plcc_loss: Whether 1 - PLCC is added to the squared error.
        batch_size: Images in a step; the authors' and pyiqa's settings count those of one GPU.
        epochs: Epochs of the training.
        crop: Side of random square crops in pixels; None or 0: whole images.
        crops: Number of seeded crops per image.
        seed: Seed of a random context, of crops and of the images' order.
        network: Options of :class:`~clipiqa_pyiqa.CLIPIQA`, whose prompts are trained.
    """

    sgd: bool = False
    lr: float = 2e-3
    min_lr: float = 0.0
    cosine_epochs: float = 50
    plcc_loss: bool = True
    batch_size: int = 8
    epochs: int = 50
    crop: int | None = None
    crops: int = 4
    seed: int = 123
    network: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_truth("sgd", self.sgd)
        check_number("lr", self.lr, 0, 1000)
        check_number("min_lr", self.min_lr, 0, 1000)
        check_number("cosine_epochs", self.cosine_epochs, least=0.001)
        check_truth("plcc_loss", self.plcc_loss)
        check_whole("batch_size", self.batch_size, 1, 65_536)
        check_whole("epochs", self.epochs, 1, 1_000_000)
        if self.crop == 0:
            object.__setattr__(self, "crop", None)
        check_whole_or_none("crop", self.crop, MIN_SIDE, 2048)
        check_whole("crops", self.crops, 1, 1000)
        check_seed(self.seed)


RECIPES = {
    "plain": Recipe(),  # whole images give exact features
    "official": Recipe(
        sgd=True,
        min_lr=1e-7,
        cosine_epochs=2727,
        plcc_loss=False,
        batch_size=64,
        epochs=727,
        network={"context": {"shared": True, "init": "random"}},
    ),
    "pyiqa": Recipe(crop=384, network={"pos_embedding": True}),
}


def with_options(recipe: Recipe | str, **options: Unpack[TrainingOptions]) -> Recipe:
    """Return a recipe with changed options; None changes nothing.

    Args:
        recipe: The recipe, or a name in ``RECIPES``.
        **options: Attributes of :class:`Recipe` (``epochs`` stretches the cosine, also a stated one; ``crop`` 0: whole
            images), ``n_ctx``, ``shared``, ``init`` (``'words'`` leaves out the recipe's ``n_ctx`` and ``shared``), or
            arguments of :class:`clipiqa_pyiqa.CLIPIQA`.
    """
    if isinstance(recipe, Recipe):
        base = recipe
    else:
        check_one_of("recipe", recipe, RECIPES)
        base = RECIPES[recipe]
    check_keys(options, TrainingOptions.__annotations__, "the options of train()")
    changes: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    of_recipe = {name: value for name, value in changes.items() if name in vars(base)}
    changed = replace(base, **of_recipe)
    of_context = {name: value for name, value in changes.items() if name in CONTEXT_OPTIONS}
    of_network = {name: value for name, value in changes.items() if name not in (*of_recipe, *of_context)}
    if of_context:
        recipes_context = {} if of_context.get("init") == "words" else base.network.get("context") or {}
        of_network["context"] = {**recipes_context, **of_context}
        check_context(**of_network["context"])
    return replace(
        changed,
        cosine_epochs=changed.cosine_epochs * changed.epochs / base.epochs,
        network={**base.network, **of_network},
    )
