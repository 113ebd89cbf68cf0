"""Training the prompts of CLIP-IQA+ on people's scores, from a table of scores to a file of prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..datasets.csv_files import TableError
from ..datasets.mini_photos import look_for_mini_photos
from ..datasets.score_table import ScoreTable, find_score_table, read_score_table
from ..errors import ConfigError, counted
from ..errors.arguments import SharedOptions, checked
from ..images.memory import memory_limit
from ..metric import CLIPIQA, find_device
from .feature_store import FeatureStore, Say
from .recipe import TrainConfig, find_recipe, with_options
from .trainer import BEST, Progress, Scores, evaluate, prepare_folder, train_context
from .views import Views, image_features, stored_features, whole_views


@dataclass(frozen=True)
class TrainingResult:
    """What a training run came to.

    Attributes:
        metric: The metric with the best epoch's prompts.
        config: What it was trained by.
        table: The images and their scores.
        folder: Where the prompts, the state and the log lie.
        epochs: Passes made over the training images.
        scores: SROCC, PLCC and KRCC of the best epoch, on the splits ``'val'`` and, if there are images, ``'test'``.
        seen_by_mini: How many of the images ``mini``, if it is the backbone, was trained on.
    """

    metric: CLIPIQA
    config: TrainConfig
    table: ScoreTable
    folder: Path
    epochs: int
    scores: dict[str, Scores]
    seen_by_mini: int

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
    exact: bool = False,
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
    """Learn the prompts of CLIP-IQA+ from scores that people gave; each image is encoded once, into a store.

    Args:
        scores: Images and their scores: a table, a CSV file, or the name of a data set of pyiqa's; None takes the data
            that the recipe's file names.
        out: Folder for ``best.safetensors``, ``last.safetensors``, the state to resume from and TensorBoard's log.
        recipe: ``'plain'``, ``'official'``, ``'pyiqa'``, a YAML file of pyiqa's trainer, or a configuration.
        exact: Encode images at every step, with fresh random crops, in place of stored features; slow.
        without_mini_photos: On ``backbone='mini'``, leave out the photos that ``mini`` was trained on.
        features: Folder of the feature store; default ``~/.cache/clipiqa/features``.
        resume: Go on with the run in ``out``.
        overwrite: Replace the run in ``out``.
        report: Called after each epoch with what it came to and the number of epochs in all.
        say: Told, in sentences, how the preparation goes.
        **changes: Changes of the recipe, such as ``epochs``, ``lr`` or ``backbone``; see
            :func:`~clipiqa_pyiqa.learning.recipe.with_options`.

    Raises:
        CLIPIQAError: A ``ValueError``, for scores, images, a recipe or a folder that cannot be used.

    Example:
        >>> train("scores.csv", "runs/mine", backbone="mini", epochs=10).scores["val"]  # doctest: +SKIP
    """
    config = with_options(find_recipe(recipe), **changes)
    table = _table(scores, config)  # what can be wrong with the data, before anything takes time
    with prepare_folder(out, resume, overwrite) as folder:
        device = find_device(device)
        torch.manual_seed(config.seed)  # a random context
        metric = CLIPIQA(**config.network).to(device)
        table, seen = look_for_mini_photos(table, metric.clip.weights.backbone, without_mini_photos, ("train", "val"))
        if table.skipped and say is not None:
            say(f"left out: {counted(len(table.skipped), 'missing image')}")
        store, views = FeatureStore(metric, features), Views(config.recipe, config.seed, exact)
        paths = {split: [table.paths[row] for row in table.rows(split)] for split in ("train", "val", "test")}
        targets = {split: torch.tensor([[table.targets[row]] for row in table.rows(split)]) for split in paths}
        options: dict[str, Any] = {"device": device, "workers": workers, "say": say}
        whole = {
            split: store.features(paths[split], whole_views(len(paths[split])), what=split, **options)[:, 0]
            for split in ("val", "test")
        }
        if exact:
            drawn = image_features(metric, paths["train"], views, device)
        else:
            if config.recipe.crop and say is not None:
                say(f"{counted(config.recipe.crops, 'seeded crop')} per image in place of random ones")
            all_views = [views.of(row) for row in range(len(paths["train"]))]
            _check_room(sum(map(len, all_views)), store.dim)
            drawn = stored_features(store.features(paths["train"], all_views, what="train", **options), views)
        metadata = {
            **{"data_set": table.name, "score_range": table.score_range, "lower_better": table.lower_better},
            **{"training_images": len(paths["train"]), "validation_images": len(paths["val"])},
        }
        given = metric, config, drawn, targets["train"], whole["val"], targets["val"], folder

        def tell(progress: Progress) -> None:
            report(progress, config.recipe.epochs)

        found = {"val": train_context(*given, metadata=metadata, resume=resume, report=tell)}
        metric.load_prompts(folder / BEST)
        if len(paths["test"]) > 1:
            found["test"] = evaluate(metric, whole["test"].to(device), targets["test"])
        return TrainingResult(metric.eval(), config, table, folder, config.recipe.epochs, found, seen)


def _check_room(count: int, width: int) -> None:
    """Raise unless so many features, and the lists of their views, fit in memory."""
    size, limit = count * (12 * width + 1000), memory_limit()  # features in three copies while they are read
    if size > limit:
        raise ConfigError(
            f"{count:,} features of crops take about {size / 1e9:.1f} GB of the {limit / 1e9:.1f} GB that may be "
            "taken: use fewer crops, or allow more memory."
        )


def _table(scores: ScoreTable | str | Path | None, config: TrainConfig) -> ScoreTable:
    if isinstance(scores, ScoreTable):
        return scores
    if scores is not None:
        return find_score_table(scores, seed=config.seed)
    if not config.data.get("path"):
        raise TableError("no scores given: name a CSV file, or a data set of pyiqa's.")
    return read_score_table(**config.data, seed=config.seed)
