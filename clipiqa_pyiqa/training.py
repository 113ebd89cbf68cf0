"""Training on tensors: recipes, augmentations, learned prompts (Sec. 3.2), and fits of heads."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .checks import (
    MIN_SIDE,
    check_keys,
    check_number,
    check_one_of,
    check_seed,
    check_truth,
    check_whole,
    check_whole_or_none,
)
from .errors import CLIPIQAError, ImageError, Kind
from .machine import import_pyiqa
from .metric import CLIPIQA
from .options import CLIPIQAOptions
from .prompts.learned import CONTEXT_OPTIONS, check_context
from .prompts.pairs import Prompts
from .text import counted

# Recipes


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

    Raises:
        OptionError: a value cannot be used.
        ConfigError: an option is unknown.
    """
    if not isinstance(recipe, Recipe):
        check_one_of("recipe", recipe, RECIPES)
        recipe = RECIPES[recipe]
    check_keys(options, TrainingOptions.__annotations__, "the options of train()")
    changes: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    context = {name: changes.pop(name) for name in CONTEXT_OPTIONS if name in changes}
    of_recipe = {name: changes.pop(name) for name in vars(recipe) if name in changes}
    if context:
        recipes_context = {} if context.get("init") == "words" else recipe.network.get("context") or {}
        changes["context"] = {**recipes_context, **context}
        check_context(**changes["context"])
    changed = replace(recipe, **of_recipe, network={**recipe.network, **changes})
    return replace(changed, cosine_epochs=changed.cosine_epochs * changed.epochs / recipe.epochs)


def seeded(*parts: int | str) -> torch.Generator:
    """Return a generator whose seed is a hash of all parts, such as a seed, a purpose and a number."""
    plain_parts = tuple(part if isinstance(part, str) else int(part) for part in parts)  # NumPy's numbers have a repr
    digest = hashlib.sha256(repr(plain_parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


# Augmentations


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
    return [Augmentation(crop, flip) for crop in crops for flip in (False, True)]


def draw_augmentation(recipe: Recipe, generator: torch.Generator) -> int:
    """Return the number of a random view among those of :func:`augmentations_of`."""
    flip_number = int(torch.randint(2, (), generator=generator))
    crop_number = 0 if recipe.crop is None else int(torch.randint(recipe.crops, (), generator=generator))
    return 2 * crop_number + flip_number


# Learned prompts


class EpochResult(NamedTuple):
    """The number of an epoch, from 1 on, and the mean loss of its batches."""

    number: int
    loss: float


class PromptTraining:
    """Trains the context of a metric's learned prompts in place; the caller evaluates and saves between epochs.

    Args:
        metric: A metric with learned prompts, on the device to train on.
        recipe: Its loss, optimizer, batches and random numbers.
        features: Features ``(N, A, D)`` of the training images, each with the ``A`` views of :func:`augmentations_of`.
        targets: People's scores ``(N, 1)``, in [0, 1].

    Raises:
        CLIPIQAError: there are fewer images than a batch has, or targets have another shape.
    """

    def __init__(self, metric: CLIPIQA, recipe: Recipe, features: Tensor, targets: Tensor) -> None:
        if metric.prompt_learner is None:
            raise CLIPIQAError("metric must have learned prompts: set model_type='clipiqa+'.")
        if len(targets) < recipe.batch_size:
            raise CLIPIQAError(
                f"{counted(len(targets), 'training image')} cannot fill a batch of {recipe.batch_size}: use a smaller "
                "batch_size.",
                options=("batch_size",),
            )
        if targets.shape != (len(targets), 1):  # (N,) would broadcast with the scores (N, 1)
            raise CLIPIQAError(f"targets must be people's scores of shape (N, 1); got {tuple(targets.shape)}.")
        self.metric = metric
        self.recipe = recipe
        self.features = features
        self.epochs_done = 0
        self.learner = metric.prompt_learner
        self.targets = targets.float().to(self.learner.ctx.device)
        losses = import_pyiqa(".losses")
        self._criteria = [losses.MSELoss()]
        if recipe.plcc_loss:
            self._criteria.append(losses.PLCCLoss())
        optimizer_class = torch.optim.SGD if recipe.sgd else torch.optim.Adam
        self._optimizer = optimizer_class([self.learner.ctx], lr=recipe.lr)
        self._scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
            self._optimizer,
            recipe.cosine_epochs,  # type: ignore[arg-type]
            eta_min=recipe.min_lr,
        )

    def epoch(self) -> EpochResult:
        """Train for one epoch of whole batches, in an order that depends on the recipe's seed and the epoch.

        Raises:
            CLIPIQAError: the loss is not finite.
        """
        generator = seeded(self.recipe.seed, "epoch", self.epochs_done)
        order = torch.randperm(len(self.targets), generator=generator)
        batches = order.unfold(0, self.recipe.batch_size, self.recipe.batch_size)
        self.metric.train()
        losses = [self._step(rows, generator) for rows in batches]
        self._scheduler.step()
        self.epochs_done += 1
        return EpochResult(self.epochs_done, sum(losses) / len(losses))

    def _step(self, rows: Tensor, generator: torch.Generator) -> float:
        """Take a step of the optimizer for one batch; return its loss."""
        views = [draw_augmentation(self.recipe, generator) for _ in rows]
        features = self.features[rows, views].to(self.targets.device)
        scores = self.metric.score(features, aggregate="mean")
        loss = torch.stack([criterion(scores, self.targets[rows]) for criterion in self._criteria]).sum()
        if not loss.isfinite():
            raise CLIPIQAError(f"the loss of epoch {self.epochs_done + 1} is not finite: lower the learning rate.")
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return loss.item()

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs to go on from here: the context, the optimizer and its schedule."""
        return {
            "ctx": self.learner.ctx.detach(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any], epochs_done: int) -> None:
        """Go on from a state that was taken after ``epochs_done`` epochs.

        Raises:
            ValueError: the context has another shape.
        """
        if state["ctx"].shape != self.learner.ctx.shape:  # copying would broadcast it
            raise ValueError(f"ctx must have shape {tuple(self.learner.ctx.shape)}; got {tuple(state['ctx'].shape)}.")
        with torch.no_grad():
            self.learner.ctx.copy_(state["ctx"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        self.epochs_done = epochs_done


# Heads, in closed form

Array = NDArray[np.float64]
# a head's tensors: `prior` (2,), and for ridge regression `mean` and `weight` (K,)
FittedHead = Mapping[str, NDArray[np.floating[Any]]]

PENALTIES = np.logspace(-6, 3, 37)  # factors of the largest variance


class RatedPhotos(NamedTuple):
    """A head's inputs ``(n, K)``; zero-shot scores ``(n,)``; people's scores ``(n,)``, in [0, 1]."""

    x: Array
    zero_shot: Array
    shares: Array

    def at(self, rows: NDArray[Any]) -> RatedPhotos:
        return RatedPhotos(self.x[rows], self.zero_shot[rows], self.shares[rows])


def fit_affine(photos: RatedPhotos) -> FittedHead:
    """Return the line that predicts people's scores from zero-shot scores with the smallest squared error."""
    return {"prior": np.linalg.lstsq(_line_basis(photos), photos.shares, rcond=None)[0]}


def fit_ridge(photos: RatedPhotos) -> FittedHead:
    """Return the fit of a line plus a penalised linear function of all inputs.

    The penalty is the one with the smallest error when each photo is predicted from all other photos.
    """
    mean = photos.x.mean(axis=0)
    deviation = photos.x.std(axis=0)
    largest = deviation.max()
    # inputs that hardly vary get the largest deviation, which keeps them small
    scale = np.where(deviation > 1e-6 * largest, deviation, largest or 1.0)
    x = (photos.x - mean) / scale
    # the line has no penalty: fit what the line does not explain
    line = np.linalg.qr(_line_basis(photos))[0]
    rest = x - line @ (line.T @ x)
    shares = photos.shares - line @ (line.T @ photos.shares)
    directions, deviations, _ = np.linalg.svd(rest, full_matrices=False)
    if not deviations[0]:  # inputs that do not vary add nothing to the line
        return {**fit_affine(photos), "mean": mean, "weight": np.zeros_like(mean)}
    variances = deviations[deviations > 1e-5 * deviations[0]] ** 2
    directions = directions[:, : len(variances)]
    explained = directions.T @ shares
    line_leverage = (line * line).sum(1)

    def left_out_error(penalty: float) -> float:
        """Return the mean squared error when each photo is predicted from all others, in closed form."""
        shrunk = variances / (variances + penalty)
        leverage = line_leverage + (directions * directions) @ shrunk
        residuals = shares - directions @ (shrunk * explained)
        return float(np.mean((residuals / np.maximum(1 - leverage, 1e-9)) ** 2))

    penalties = [*(factor * variances[0] for factor in PENALTIES), math.inf]
    penalty = min(penalties, key=left_out_error)
    weight = rest.T @ (directions @ (explained / (variances + penalty)))
    prior, *_ = np.linalg.lstsq(_line_basis(photos), photos.shares - x @ weight, rcond=None)
    return {"prior": prior, "mean": mean, "weight": weight / scale}


FITS = {"affine": fit_affine, "ridge": fit_ridge}


def predict(head: FittedHead, photos: RatedPhotos) -> Array:
    """Return predictions ``(n,)``, as shares of the score range."""
    line = _line_basis(photos) @ head["prior"]
    if "weight" not in head:
        return line
    return line + (photos.x - head["mean"]) @ head["weight"]


def _line_basis(photos: RatedPhotos) -> Array:
    return np.column_stack([photos.zero_shot, np.ones_like(photos.zero_shot)])
