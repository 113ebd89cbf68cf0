"""Fit the context of CLIP-IQA+ to people's scores, on image features.

Every draw (order, flips, crops) comes from the run's seed and the number of the epoch, and the state after each epoch
is on disk, so that a run that was killed reaches the same result as one that was not.
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

from ..errors import CLIPIQAError, ConfigError, counted, nearest
from ..files.locking import locked
from ..files.writing import check_folder, check_output, write_bytes
from ..metric import CLIPIQA
from ..prompts.files import pickled, save_prompt_file
from ..weights.checkpoint import load_pickled
from .recipe import TrainConfig
from .views import Features, mixed_seed

BEST, LAST, STATE = "best.safetensors", "last.safetensors", "state.pt"
_CONSTANT = {"type": "ConstantLR", "factor": 1.0}
Scores = dict[str, float]
"""``srocc``, ``plcc`` and ``krcc`` of predicted against given scores."""


class TrainingError(CLIPIQAError):
    """A run that cannot be started or resumed."""


@dataclass(frozen=True)
class Progress:
    """What an epoch came to.

    Attributes:
        epoch: Passes made, from 1.
        loss: Mean over its steps.
        scores: On the validation images.
        is_best: Whether no earlier epoch had as high an SROCC on them.
    """

    epoch: int
    loss: float
    scores: Scores
    is_best: bool


def train_context(
    metric: CLIPIQA,
    config: TrainConfig,
    features: Features,
    targets: Tensor,
    val_features: Tensor,
    val_targets: Tensor,
    folder: Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    resume: bool = False,
    report: Callable[[Progress], object] = lambda progress: None,
) -> Scores:
    """Train a metric's learned prompts in place and return the scores of the best epoch.

    Args:
        metric: With a ``prompt_learner``.
        config: Seed and recipe.
        features: Of the training images.
        targets: Their scores in [0, 1], ``(N, 1)``.
        val_features: Of the validation images, whole, ``(M, D)``.
        val_targets: Their scores, ``(M, 1)``.
        folder: For the best and the last prompts, the state to resume from, and TensorBoard's log.
        metadata: What the prompt files say about the data set.
        resume: Go on from the state in ``folder``, if there is one.
        report: Called after each epoch, once its state is on disk.

    Raises:
        ConfigError: The recipe names an optimiser, scheduler, loss or option that does not exist.
        TrainingError: There are fewer images than a batch, or the state in ``folder`` belongs to another run.
    """
    import pyiqa.losses  # noqa: F401 (fills the registry)
    from pyiqa.utils.registry import LOSS_REGISTRY
    from torch.utils.tensorboard import SummaryWriter  # imports tensorboard, which only training needs

    learner, recipe = metric.prompt_learner, config.recipe
    if learner is None:
        raise TrainingError("'clipiqa' has no prompts to train: use model_type 'clipiqa+'.")
    if len(targets) < recipe.batch_size:
        images = counted(len(targets), "training image")
        raise TrainingError(f"{images} cannot fill a batch of {recipe.batch_size}: use a smaller batch_size.")
    if not recipe.losses:
        raise ConfigError("the recipe names no loss: set mos_loss_opt, metric_loss_opt or both.")
    targets, val_features = targets.float().to(learner.ctx.device), val_features.to(learner.ctx.device)
    losses = [_built(dict(iter(LOSS_REGISTRY)), loss) for loss in recipe.losses]
    optimizer = _built(vars(torch.optim), recipe.optim, [learner.ctx])
    scheduler = _built(vars(torch.optim.lr_scheduler), recipe.scheduler or _CONSTANT, optimizer)
    run, schedule = _fingerprint(metric, config, targets, val_features), [recipe.epochs, recipe.scheduler]
    epoch, best = 0, Scores()
    if resume and (folder / STATE).is_file():
        state = _state_of(folder / STATE, run, schedule)
        with torch.no_grad():
            learner.ctx.copy_(state["ctx"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        epoch, best = state["epoch"], state["best"]
    with SummaryWriter(folder / "tensorboard", purge_step=epoch + 1) as board:
        while epoch < recipe.epochs:
            generator = torch.Generator().manual_seed(mixed_seed(config.seed, "epoch", epoch))
            epoch += 1
            order = torch.randperm(len(targets), generator=generator)
            steps = []
            for rows in order[: len(order) // recipe.batch_size * recipe.batch_size].split(recipe.batch_size):
                scores = metric.train().score(features(rows.tolist(), generator).to(targets.device), aggregate="mean")
                loss = torch.stack([criterion(scores, targets[rows]) for criterion in losses]).sum()
                if not loss.isfinite():
                    raise TrainingError(f"the loss of epoch {epoch} is not finite: lower the learning rate.")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                steps.append(loss.item())
            scheduler.step()
            mean_loss, found = sum(steps) / len(steps), evaluate(metric, val_features, val_targets)
            is_best = not best or found["srocc"] > best["srocc"]
            best = found if is_best else best
            for name, value in {"train/loss": mean_loss, **{f"val/{name}": found[name] for name in found}}.items():
                board.add_scalar(name, value, epoch)
            said = {
                **{"pos_embedding": metric.pos_embedding, "precision": metric.precision, "recipe": asdict(recipe)},
                **{"seed": config.seed, **(metadata or {}), "epoch": epoch, "scores": found},
            }
            for name in (LAST, BEST) if is_best else (LAST,):
                save_prompt_file(learner, folder / name, said)
            state = {
                **{"run": run, "schedule": schedule, "epoch": epoch, "best": best, "ctx": learner.ctx.detach()},
                **{"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()},
            }
            write_bytes(folder / STATE, pickled(state))
            report(Progress(epoch, mean_loss, found, is_best))
    return best


def _fingerprint(metric: CLIPIQA, config: TrainConfig, *tensors: Tensor) -> str:
    """Return a hash of all that must be equal for a run to be the same one, but its schedule."""
    assert metric.prompt_learner is not None
    recipe = {**asdict(config.recipe), "epochs": None, "scheduler": None}
    setup = [recipe, config.seed, metric.clip.weights.sha256, metric.pos_embedding, metric.precision]
    digest = hashlib.sha256(json.dumps(setup, default=str).encode())
    for tensor in (metric.prompt_learner.initial_ctx, metric.prompt_learner.token_suffix, *tensors):
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _state_of(path: Path, run: str, schedule: list[Any]) -> Any:
    state = load_pickled(path)
    if state["run"] != run:
        raise TrainingError(
            f"{path} was left by another run (other images, scores, weights, recipe or seed): use its options, or "
            "another folder."
        )
    if state["schedule"] != schedule:
        raise TrainingError(
            f"{path} was left by a run of {counted(state['schedule'][0], 'epoch')} with other learning rates: use its "
            "number of epochs and its scheduler, or another folder."
        )
    return state


@contextlib.contextmanager
def prepare_folder(folder: str | Path, resume: bool = False, overwrite: bool = False) -> Iterator[Path]:
    """Make the folder of a run if need be, and keep other runs out of it within the context.

    Raises:
        TrainingError: An earlier run left files there, and neither ``resume`` nor ``overwrite`` is set.
    """
    found = check_folder(folder, ())
    with locked(found):
        left = [found / name for name in (STATE, LAST, BEST) if os.path.lexists(found / name)]
        if left and not (resume or overwrite):
            raise TrainingError(f"{str(left[0])!r} is left from an earlier run: set resume to go on, or overwrite.")
        for path in left:
            check_output(path, overwrite=True)
            if not resume:
                path.unlink()
        yield found


def evaluate(metric: CLIPIQA, features: Tensor, targets: Tensor) -> Scores:
    """Return SROCC, PLCC and KRCC of a metric's scores for image features ``(M, D)`` against people's, ``(M, 1)``.

    PLCC is of the scores as they are, without a fitted curve. The metric is left in evaluation mode.
    """
    from pyiqa.metrics.correlation_coefficient import calculate_krcc, calculate_plcc, calculate_srcc

    with torch.no_grad():
        scores = metric.eval().score(features, aggregate="mean")
    a, b = (each.squeeze(1).double().cpu().numpy() for each in (scores, targets))
    calculate = {"srocc": calculate_srcc, "plcc": calculate_plcc, "krcc": calculate_krcc}
    return {name: float(function(a, b)) for name, function in calculate.items()}


def _built(known: Mapping[str, Any], options: Mapping[str, Any], *args: Any) -> Any:
    """Return an optimiser, a scheduler or a loss by the name of its class."""
    rest = dict(options)
    name = str(rest.pop("type", None))
    known = {each: made for each, made in known.items() if isinstance(made, type)}
    if name not in known:
        raise ConfigError(f"unknown type {name!r} in the recipe: {nearest(name, known)}")
    try:
        return known[name](*args, **rest)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} does not take these options: {error}.") from error
