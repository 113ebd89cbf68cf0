"""The training of CLIP-IQA+'s prompts on image features, epoch by epoch (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import CLIPIQAError
from ..machine import import_pyiqa
from ..metric import CLIPIQA
from ..text import counted
from .augmentations import draw_augmentation
from .recipe import Recipe
from .seeds import seeded


class EpochResult(NamedTuple):
    """The number of an epoch, from 1 on, and the mean loss of its batches."""

    number: int
    loss: float


class PromptTraining:
    """Trains the context of a metric's learned prompts in place; the caller evaluates and saves between epochs.

    Args:
        metric: A metric with learned prompts, on the device to train on.
        recipe: Its loss, optimizer, batches and random numbers.
        features: Features ``(N, A, D)`` of the training images, each with the ``A`` views of
            :func:`~clipiqa_pyiqa.training.augmentations.augmentations_of`.
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
