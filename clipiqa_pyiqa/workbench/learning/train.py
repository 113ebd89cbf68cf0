"""Train the prompts of CLIP-IQA+ on people's scores; a run can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import torch

from ...checks import FilePath, check_truth
from ...errors import OptionError
from ...machine import find_device
from ...metric import CLIPIQA
from ...options import lists_options
from ...training import Recipe, TrainingOptions, with_options
from ..files.folders import make_folder
from ..files.locking import locked
from ..opinions.learned_photos import written_digests
from ..opinions.mini_photos import warn_of_mini_photos, without_photos_of_mini
from ..opinions.score_table import ScoreTable, find_score_table
from ..options import SharedOptions, check_workers
from ..stats.arrays import Array
from .correlations import Correlations, correlations, scores_of_features
from .epochs import train_context
from .judgement import Judgement, judgement_on_split, knows_ratings
from .rated_images import RatedImagesReader
from .training_files import BEST, FILES, remove_earlier_run


@dataclass(frozen=True)
class TrainingResult:
    """The metric with the best epoch's prompts, and how well it agrees with people on held-out images.

    Attributes:
        scores: ``'val'`` and ``'test'`` -> the metric's correlations with people's scores.
        before: The same of the pair's words alone, without a context: the CLIP-IQA that needs no training.
        judgement: Whether the training gained anything, on the test images, or else on those of validation.
    """

    metric: CLIPIQA
    recipe: Recipe
    table: ScoreTable
    folder: Path
    scores: dict[str, Correlations]
    before: dict[str, Correlations]
    judgement: Judgement


_TRIES = "more rated images, or a head of all features (clipiqa fit)"


@lists_options(TrainingOptions, of=Recipe)
def train(
    scores: ScoreTable | FilePath,
    out: FilePath,
    *,
    recipe: Recipe | str = "plain",
    without_mini_photos: bool = False,
    device: str | torch.device | None = SharedOptions.device,
    features: FilePath | None = None,
    workers: int | None = SharedOptions.workers,
    resume: bool = False,
    overwrite: bool = False,
    **changes: Unpack[TrainingOptions],
) -> TrainingResult:
    """Train the prompts of CLIP-IQA+ on people's scores (Sec. 3.2).

    Args:
        scores: A table, a CSV file, or a data set of pyiqa.
        out: Folder for ``best.safetensors``, ``last.safetensors``, the state to resume and ``log.csv``.
        recipe: ``'plain'``, ``'official'``, ``'pyiqa'``, or a recipe.
        without_mini_photos: Leave out ``mini``'s training photos if it is the backbone.
        features: Folder of image features; default ``~/.cache/clipiqa/features``.
        resume, overwrite: Continue, or replace, the run in ``out``.
        **changes: Changes of the recipe, see :func:`with_options`.
    """
    check_truth("resume", resume)
    check_truth("overwrite", overwrite)
    check_workers(workers)
    recipe = with_options(recipe, **changes)
    if recipe.crop is None and changes.get("crops") is not None:
        raise OptionError("`crops` needs `crop`, the side of the crops.", options=("crops", "crop"))
    # the data first, since all later steps take time
    table = find_score_table(scores, seed=recipe.seed)
    folder = make_folder(out, () if resume else FILES, overwrite=True)
    with locked(folder):
        if not resume:
            remove_earlier_run(folder, overwrite)
        device = find_device(device)
        metric = _metric_to_train(recipe, device)
        backbone = metric.clip.weights.backbone
        table.log_notes()
        warn_of_mini_photos(table, backbone, without_mini_photos)
        if without_mini_photos:
            table = without_photos_of_mini(table, backbone)
        table.check_splits(("train", "val"))
        reader = RatedImagesReader(metric, device, features, workers, table.hashes)
        train_images = reader.rated_views(table.part("train"), recipe)
        val_images = reader.rated_images(table.part("val"))
        test_images = reader.rated_images(table.part("test"))
        held_out = {"val": val_images}
        if len(test_images.targets) > 1:
            held_out["test"] = test_images
        scores_before = {
            split: scores_of_features(metric, images.features, metric.prompts) for split, images in held_out.items()
        }
        best = train_context(
            metric, recipe, train_images, val_images, folder, metadata=_metadata_of(table), resume=resume
        )
        metric.load_prompts(folder / BEST)
        scores_after = {split: scores_of_features(metric, images.features) for split, images in held_out.items()}
        after = {"val": best}
        if "test" in held_out:
            after["test"] = correlations(scores_after["test"], test_images.targets)
        before = {split: correlations(scores_before[split], images.targets) for split, images in held_out.items()}
        judgement = _judgement(table, scores_before, scores_after, recipe.seed, knows_ratings(metric))
        return TrainingResult(metric.eval(), recipe, table, folder, after, before, judgement)


def _metric_to_train(recipe: Recipe, device: torch.device) -> CLIPIQA:
    """Return a metric with fresh prompts; a random context is the seed's, and the caller's random numbers stay."""
    options = {"pretrained": False, **recipe.network, "model_type": "clipiqa+"}
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(recipe.seed)
        return CLIPIQA(**options).to(device)


def _metadata_of(table: ScoreTable) -> dict[str, Any]:
    """Return what a file of learned prompts says about the images that it was learned from."""
    learned_from = table.frame.query("split != 'test'")  # since validation chooses the epoch
    return {
        "data_set": table.name,
        "score_range": table.score_range,
        "lower_better": table.lower_better,
        "trained_on": written_digests(learned_from["path"], table.hashes),
    }


def _judgement(
    table: ScoreTable, before: Mapping[str, Array], after: Mapping[str, Array], seed: int, knows_ratings: bool
) -> Judgement:
    """Return the judgement with advice, on the test images, or if these have no correlation, on those of validation.

    Args:
        before, after: Split -> scores of its images.
    """
    if "test" in before:
        judgement = judgement_on_split(table, "test", before["test"], after["test"], ("train", "val"), seed)
        if judgement.verdict != "unknown":
            return judgement.advised(_TRIES, knows_ratings)
    judgement = judgement_on_split(table, "val", before["val"], after["val"], ("train",), seed)
    return judgement.advised(_TRIES, knows_ratings, "these chose the epoch, so confirm it on images with split test")
