"""Fit the context of CLIP-IQA+ to people's scores, on image features that exist already.

Every draw (order, flips, crops) comes from the run's seed and the number of the epoch, and the state after each epoch
is on disk, so that a run that was killed goes on to the very result of one that was not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..datasets.score_table import ScoreTable
from ..errors import CLIPIQAError, ConfigError, counted, nearest
from ..files.locking import locked
from ..files.writing import check_folder, check_output, write_bytes
from ..metric import CLIPIQA
from ..prompts.files import pickled, save_prompt_file
from ..weights.checkpoint import load_pickled
from .recipe import Recipe, TrainConfig
from .views import Features, mixed_seed

BEST, LAST, STATE = "best.safetensors", "last.safetensors", "state.pt"
Scores = dict[str, float]
"""``srocc``, ``plcc`` and ``krcc`` of predicted against given scores."""


class TrainingError(CLIPIQAError):
    """A run that cannot be started or resumed."""


@dataclass(frozen=True)
class Progress:
    """What an epoch came to.

    Attributes:
        epoch: passes made, from 1.
        loss: mean over its steps.
        scores: on the validation images.
        is_best: whether no earlier epoch had a higher SROCC on them.
    """

    epoch: int
    loss: float
    scores: Scores
    is_best: bool


class Trainer:
    """A training run.

    Args:
        metric: with a ``prompt_learner``, whose context is trained in place.
        config: seed and recipe.
        features: of the training images, by row.
        targets: their scores in [0, 1], ``(N, 1)``.
        val_features: of the validation images, whole, ``(M, D)``.
        val_targets: their scores, ``(M,)``.
        folder: for the best and the last prompts, the state to resume from, and TensorBoard's log.
        metadata: what the prompt files say beside what the metric and the recipe say: the data set.
        resume: go on from the state in ``folder``, if there is one.

    Raises:
        ConfigError: the recipe names an optimiser, scheduler, loss or option that does not exist.
        TrainingError: there are fewer images than a batch, or the state in ``folder`` belongs to another run.
    """

    def __init__(
        self,
        metric: CLIPIQA,
        config: TrainConfig,
        features: Features,
        targets: Tensor,
        val_features: Tensor,
        val_targets: Tensor,
        folder: Path,
        metadata: Mapping[str, Any] | None = None,
        resume: bool = False,
    ):
        if metric.prompt_learner is None:
            raise TrainingError("there is nothing to train in 'clipiqa': use model_type 'clipiqa+'.")
        recipe = config.recipe
        if len(targets) < recipe.batch_size:
            raise TrainingError(
                f"{counted(len(targets), 'training image')} cannot fill a batch of "
                f"{recipe.batch_size}: use a smaller batch."
            )
        self.metric, self.config, self.features, self.folder = metric, config, features, folder
        self.learner = metric.prompt_learner
        self.device = self.learner.ctx.device
        self.targets = targets.float().to(self.device)
        self.val_features, self.val_targets = val_features.to(self.device), val_targets
        self.metadata = dict(metadata or {})
        self.losses = _losses(recipe)
        self.optimizer = _built(torch.optim, recipe.optim, [self.learner.ctx])
        schedule = recipe.scheduler
        self.scheduler = _built(torch.optim.lr_scheduler, schedule, self.optimizer) if schedule else None
        self.epoch, self.best, self.best_scores = 0, float("-inf"), Scores()
        if resume and (folder / STATE).is_file():
            self._resume(folder / STATE)

    def run(self, report: Callable[[Progress], object] = lambda progress: None) -> Scores:
        """Train to the last epoch; returns the scores of the best one.

        Args:
            report: called after each epoch, once its state is on disk.
        """
        from torch.utils.tensorboard import SummaryWriter  # imports tensorboard, which only training needs

        with SummaryWriter(self.folder / "tensorboard", purge_step=self.epoch + 1) as board:
            while self.epoch < self.config.recipe.epochs:
                loss = self.train_epoch()
                scores = self.validate()
                is_best = not self.best_scores or scores["srocc"] > self.best
                if is_best:
                    self.best, self.best_scores = scores["srocc"], scores
                for name, value in {"loss": loss, **scores}.items():
                    board.add_scalar(("train/" if name == "loss" else "val/") + name, value, self.epoch)
                self._save(scores, is_best)
                report(Progress(self.epoch, loss, scores, is_best))
        return self.best_scores

    def train_epoch(self) -> float:
        """One pass over the training images; returns the mean loss."""
        generator = torch.Generator().manual_seed(mixed_seed(self.config.seed, "epoch", self.epoch))
        order = torch.randperm(len(self.targets), generator=generator).tolist()
        size = self.config.recipe.batch_size
        total, steps = 0.0, len(order) // size
        for step in range(steps):
            rows = order[step * size : (step + 1) * size]
            views = [self.features.draw(row, generator) for row in rows]
            total += self.step(self.features.batch(rows, views), self.targets[rows])
        if self.scheduler is not None:
            self.scheduler.step()
        self.epoch += 1
        return total / steps

    def step(self, features: Tensor, targets: Tensor) -> float:
        """One step of the optimiser; returns the loss."""
        scores = self.metric.train().score(features.to(self.device), aggregate="mean")
        loss = torch.stack([criterion(scores, targets) for criterion in self.losses]).sum()
        if not loss.isfinite():
            raise TrainingError(f"the loss of epoch {self.epoch + 1} is not finite: lower the learning rate.")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def validate(self) -> Scores:
        """Scores of the prompts as they are, on the validation images."""
        return evaluate(self.metric, self.val_features, self.val_targets)

    def _save(self, scores: Scores, is_best: bool) -> None:
        metadata = {
            **{"pos_embedding": self.metric.pos_embedding, "precision": self.metric.precision},
            **{"recipe": asdict(self.config.recipe), "seed": self.config.seed, **self.metadata},
            **{"epoch": self.epoch, "scores": scores},
        }
        try:
            save_prompt_file(self.learner, self.folder / LAST, metadata)
            if is_best:
                save_prompt_file(self.learner, self.folder / BEST, metadata)
            state = {
                **{"run": self._fingerprint(), "epoch": self.epoch, "ctx": self.learner.ctx.detach()},
                **{"optimizer": self.optimizer.state_dict(), "best": self.best, "best_scores": self.best_scores},
                "scheduler": self.scheduler.state_dict() if self.scheduler else None,
                **{"epochs": self.config.recipe.epochs, "setup": self._fingerprint(schedule=False)},
            }
            write_bytes(self.folder / STATE, pickled(state))
        except OSError as error:
            raise TrainingError(
                f"epoch {self.epoch} cannot be saved in {str(self.folder)!r} ({error}): what was saved before is kept."
            ) from error

    def _resume(self, path: Path) -> None:
        state = load_pickled(path)
        before, now = state.get("epochs"), self.config.recipe.epochs
        if state.get("run") != self._fingerprint() and state.get("setup") == self._fingerprint(schedule=False):
            raise TrainingError(
                f"{path} was left by a run of {counted(before, 'epoch')}, and {now} {'is' if now == 1 else 'are'} "
                "asked for now: learning rates follow the number of epochs, so "
                f"go on with --epochs {before}, or name another folder."
            )
        if state.get("run") != self._fingerprint():
            raise TrainingError(
                f"{path} was left by another run (other images, scores, weights, recipe or seed): use its options, or "
                "another folder."
            )
        with torch.no_grad():
            self.learner.ctx.copy_(state["ctx"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.epoch, self.best, self.best_scores = state["epoch"], state["best"], state["best_scores"]

    def _fingerprint(self, schedule: bool = True) -> str:
        """What must be equal for a run to be the same one, with or without the schedule of its learning rate."""
        recipe = {**asdict(self.config.recipe), "epochs": None}
        recipe |= {} if schedule else {"scheduler": None}
        setup = [recipe, self.config.seed, self.metric.clip.weights.sha256, self.metric.pos_embedding]
        content = self.learner.initial_ctx, self.learner.token_suffix, self.targets, self.val_features
        digest = hashlib.sha256(json.dumps([*setup, self.metric.precision], default=str).encode())
        for tensor in content:
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


@contextlib.contextmanager
def prepare_folder(folder: str | Path, resume: bool = False, overwrite: bool = False) -> Iterator[Path]:
    """The folder of a run, made if need be, and no other run's for as long as the context lasts.

    An earlier run's is neither mixed with a new one nor deleted unasked.
    """
    found = check_folder(folder, ())
    with locked(found):
        left = [found / name for name in (STATE, LAST, BEST) if os.path.lexists(found / name)]
        if left and not (resume or overwrite):
            raise TrainingError(
                f"{str(left[0])!r} is left from an earlier run: pass --resume to go on, or --overwrite."
            )
        for path in left:
            check_output(path, overwrite=True)
            if not resume:
                path.unlink()
        yield found


def evaluate(metric: CLIPIQA, features: Tensor, targets: Tensor) -> Scores:
    """SROCC, PLCC and KRCC of a metric's scores for image features, against the scores that people gave.

    Args:
        metric: in whatever mode; afterwards it is in evaluation.
        features: ``(M, D)``.
        targets: ``(M,)``.
    """
    with torch.no_grad():
        scores = metric.eval().score(features, aggregate="mean").squeeze(1)
    return coefficients(scores, targets)


def coefficients(scores: Tensor, targets: Tensor) -> Scores:
    """SROCC, PLCC and KRCC of two vectors; PLCC of the scores as they are, without a fitted curve."""
    from pyiqa.metrics.correlation_coefficient import calculate_krcc, calculate_plcc, calculate_srcc

    a, b = scores.double().cpu().numpy(), targets.double().cpu().numpy()
    return {
        "srocc": float(calculate_srcc(a, b)),
        "plcc": float(calculate_plcc(a, b)),
        "krcc": float(calculate_krcc(a, b)),
    }


def targets_of(table: ScoreTable, split: str) -> Tensor:
    """The scores of a split's images, ``(N, 1)``."""
    return torch.tensor([[table.targets[row]] for row in table.rows(split)])


def _losses(recipe: Recipe) -> list[Callable[[Tensor, Tensor], Tensor]]:
    from pyiqa.losses import build_loss
    from pyiqa.utils.registry import LOSS_REGISTRY

    losses = []
    for options in recipe.losses:
        name = options.get("type")
        if name not in LOSS_REGISTRY:
            known = [known for known, _ in LOSS_REGISTRY]
            raise ConfigError(f"pyiqa has no loss {name!r}: {nearest(str(name), known)}")
        try:
            losses.append(build_loss(dict(options)))
        except TypeError as error:
            raise ConfigError(f"the loss {name!r} does not take these options: {error}.") from error
    return losses


def _built(module: Any, options: Mapping[str, Any], *args: Any) -> Any:
    """An optimiser or a scheduler by the name of its class."""
    rest = dict(options)
    name = rest.pop("type", None)
    if not isinstance(name, str) or not hasattr(module, name):
        known = [known for known in dir(module) if known[0].isupper()]
        raise ConfigError(f"{module.__name__} has no {name!r}: {nearest(str(name), known)}")
    try:
        return getattr(module, name)(*args, **rest)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} does not take these options: {error}.") from error
