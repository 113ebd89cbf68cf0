"""Train the prompts of CLIP-IQA+ on people's scores, resumable."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..datasets.csv_files import TableError
from ..datasets.mini_photos import look_for_mini_photos
from ..datasets.score_table import ScoreTable, find_score_table, read_score_table
from ..errors import CLIPIQAError, ConfigError, OutputError, counted, nearest
from ..errors.arguments import SharedOptions, checked
from ..files.locking import locked
from ..files.writing import check_folder, write_bytes
from ..images.memory import memory_limit
from ..metric import CLIPIQA, find_device
from ..prompts.files import pickled, save_prompt_file
from ..weights.checkpoint import load_pickled
from .feature_store import FeatureStore, Say
from .recipe import TrainConfig, find_recipe, with_options
from .views import Features, drawn_features, mixed_seed, views_of

BEST, LAST, STATE = "best.safetensors", "last.safetensors", "state.pt"
Scores = dict[str, float]
"""``srocc``, ``plcc`` and ``krcc`` of predicted against given scores."""


class TrainingError(CLIPIQAError):
    """A run that cannot be started or resumed."""


@dataclass(frozen=True)
class Progress:
    """A finished epoch: number from 1, mean loss, validation scores, whether SROCC is the best so far."""

    epoch: int
    loss: float
    scores: Scores
    is_best: bool


@dataclass(frozen=True)
class TrainingResult:
    """A finished run: the metric with the best epoch's prompts, and its scores on ``'val'`` and ``'test'``."""

    metric: CLIPIQA
    config: TrainConfig
    table: ScoreTable
    folder: Path
    epochs: int
    scores: dict[str, Scores]

    @property
    def best(self) -> Path:
        """The file with the best epoch's prompts."""
        return self.folder / BEST


@checked
def train(
    scores: ScoreTable | str | Path | None,
    out: str | Path,
    *,
    recipe: TrainConfig | str | Path = "plain",
    without_mini_photos: bool = False,
    device: str | torch.device | None = SharedOptions.device,
    features: str | Path | None = None,
    workers: int | None = SharedOptions.workers,
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[Progress, int], object] = lambda progress, epochs: None,
    say: Say | None = None,
    **changes: Any,
) -> TrainingResult:
    """Train the prompts of CLIP-IQA+ on people's scores (Sec. 3.3).

    Args:
        scores: A table, a CSV file, or a data set of pyiqa; None means the data set in ``recipe``.
        out: Folder for ``best.safetensors``, ``last.safetensors``, the state to resume and TensorBoard's log.
        recipe: ``'plain'``, ``'official'``, ``'pyiqa'``, a YAML file of pyiqa's trainer, or a configuration.
        without_mini_photos: With ``backbone='mini'``, leave out photos that ``mini`` was trained on.
        features: Folder of image features; default ``~/.cache/clipiqa/features``.
        resume: Continue the run in ``out``.
        overwrite: Replace the run in ``out``.
        report: Receives each epoch's progress and the number of epochs.
        say: Receives progress messages.
        **changes: See :func:`~clipiqa_pyiqa.learning.recipe.with_options`.

    Returns:
        The metric with the best prompts, and its scores.

    Raises:
        CLIPIQAError: Scores, images, a recipe or a folder cannot be used.

    Example:
        >>> train("scores.csv", "runs/mine", backbone="mini", epochs=10).scores["val"]  # doctest: +SKIP
    """
    config = with_options(find_recipe(recipe), **changes)
    table = _table(scores, config)  # check the data first: all later steps take time
    with prepare_folder(out, resume, overwrite) as folder:
        device = find_device(device)
        torch.manual_seed(config.seed)  # seed of a random context
        metric = CLIPIQA(**config.network).to(device)
        table = look_for_mini_photos(table, metric.clip.weights.backbone, without_mini_photos, ("train", "val"))
        store = FeatureStore(metric, features)
        paths = {split: [table.paths[row] for row in table.rows(split)] for split in ("train", "val", "test")}
        targets = {split: torch.tensor([[table.targets[row]] for row in table.rows(split)]) for split in paths}
        options: dict[str, Any] = {"device": device, "workers": workers, "say": say}
        whole = {split: store.features(paths[split], name=split, **options)[:, 0] for split in ("val", "test")}
        views = [views_of(config.recipe, config.seed, row) for row in range(len(paths["train"]))]
        size, limit = sum(map(len, views)) * (12 * store.dim + 1000), memory_limit()  # reading holds three copies
        if size > limit:
            raise ConfigError(
                f"features of crops take about {size / 1e9:.1f} GB, but memory is {limit / 1e9:.1f} GB: use fewer "
                "crops, or more memory."
            )
        drawn = drawn_features(store.features(paths["train"], views, name="train", **options), config.recipe)
        metadata = {
            **{"data_set": table.name, "score_range": table.score_range, "lower_better": table.lower_better},
            **{"training_images": len(paths["train"]), "validation_images": len(paths["val"])},
        }
        epochs = config.recipe.epochs
        data = drawn, targets["train"], whole["val"], targets["val"]
        best = train_context(
            *(metric, config, *data, folder),
            metadata=metadata,
            resume=resume,
            report=lambda progress: report(progress, epochs),
        )
        metric.load_prompts(folder / BEST)
        found = {"val": best}
        if len(paths["test"]) > 1:
            found["test"] = evaluate(metric, whole["test"].to(device), targets["test"])
        return TrainingResult(metric.eval(), config, table, folder, epochs, found)


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
    """Train prompts in place and return the best epoch's scores; targets ``(N, 1)``, validation features ``(M, D)``."""
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
    losses = [_build(dict(iter(LOSS_REGISTRY)), loss) for loss in recipe.losses]
    optimizer = _build(vars(torch.optim), recipe.optim, [learner.ctx])
    scheduler = _build(
        vars(torch.optim.lr_scheduler), recipe.scheduler or {"type": "ConstantLR", "factor": 1.0}, optimizer
    )
    run = _fingerprint(metric, config, learner.initial_ctx, learner.token_suffix, targets, val_features)
    epoch, best = 0, Scores()
    if resume and (folder / STATE).is_file():
        state = _read_state(folder / STATE, run)
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
            file_metadata = {
                **{"pos_embedding": metric.pos_embedding, "precision": metric.precision, "recipe": asdict(recipe)},
                **{"seed": config.seed, **(metadata or {}), "epoch": epoch, "scores": found},
            }
            for name in (LAST, BEST) if is_best else (LAST,):
                save_prompt_file(learner, folder / name, file_metadata)
            state = {
                **{"run": run, "epoch": epoch, "best": best, "ctx": learner.ctx.detach()},
                **{"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()},
            }
            write_bytes(folder / STATE, pickled(state))
            report(Progress(epoch, mean_loss, found, is_best))
    return best


def _fingerprint(metric: CLIPIQA, config: TrainConfig, *tensors: Tensor) -> str:
    setup = [asdict(config.recipe), config.seed, metric.clip.weights.sha256, metric.pos_embedding, metric.precision]
    digest = hashlib.sha256(json.dumps(setup, default=str).encode())
    for tensor in tensors:
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read_state(path: Path, run: str) -> Any:
    state = load_pickled(path)
    if state["run"] != run:
        raise TrainingError(
            f"{path} was left by another run: use the images, scores, weights, recipe, epochs and seed of that run, "
            "or choose another folder."
        )
    return state


@contextlib.contextmanager
def prepare_folder(folder: str | Path, resume: bool = False, overwrite: bool = False) -> Iterator[Path]:
    """Make and lock the folder of a run; raise if it holds another run's files."""
    found = check_folder(folder, ())
    with locked(found):
        try:
            check_folder(found, (STATE, LAST, BEST), overwrite=resume or overwrite)
        except OutputError as error:
            raise TrainingError(f"{error} Set resume to continue the run in this folder.") from error
        if not resume:
            for name in (STATE, LAST, BEST):
                (found / name).unlink(missing_ok=True)
        yield found


def evaluate(metric: CLIPIQA, features: Tensor, targets: Tensor) -> Scores:
    """Return SROCC, PLCC and KRCC for features ``(M, D)`` and targets ``(M, 1)``."""
    from pyiqa.metrics.correlation_coefficient import calculate_krcc, calculate_plcc, calculate_srcc

    with torch.no_grad():
        scores = metric.eval().score(features, aggregate="mean")
    a, b = (each.squeeze(1).double().cpu().numpy() for each in (scores, targets))
    calculate = {"srocc": calculate_srcc, "plcc": calculate_plcc, "krcc": calculate_krcc}
    return {name: float(function(a, b)) for name, function in calculate.items()}


def _build(classes: Mapping[str, Any], options: Mapping[str, Any], *args: Any) -> Any:
    options = dict(options)
    name = str(options.pop("type", None))
    classes = {each: value for each, value in classes.items() if isinstance(value, type)}
    if name not in classes:
        raise ConfigError(f"unknown type {name!r} in the recipe: {nearest(name, classes)}")
    try:
        return classes[name](*args, **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} does not take these options: {error}.") from error


def _table(scores: ScoreTable | str | Path | None, config: TrainConfig) -> ScoreTable:
    if isinstance(scores, ScoreTable):
        return scores
    if scores is not None:
        return find_score_table(scores, seed=config.seed)
    if not config.data.get("path"):
        raise TableError("no scores given: name a CSV file, or a data set of pyiqa's.")
    return read_score_table(**config.data, seed=config.seed)
