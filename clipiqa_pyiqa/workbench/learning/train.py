"""Train the prompts of CLIP-IQA+ on people's scores; a run can be resumed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from ...checks import FilePath, check_truth
from ...clip.device import find_device
from ...logger import log
from ...metric import CLIPIQA
from ...options import lists_options
from ...prompts.checksum import content_checksum
from ...prompts.pairs import Prompts
from ...training.prompts import PromptTraining
from ...training.recipe import Recipe, TrainingOptions, with_options
from ..files.folders import make_folder
from ..files.locking import locked
from ..opinions.learned_photos import written_digests
from ..opinions.mini_photos import photos_of_mini, warn_of_mini_photos
from ..opinions.score_table import ScoreTable, find_score_table
from ..options import SharedOptions, check_workers
from ..stats.correlation import krcc, plcc, srocc
from ..stats.estimate import Array
from .judgement import Judgement, judge
from .rated_images import RatedImages, RatedImagesReader
from .training_files import BEST, FILES, Agreement, TrainingFiles, TrainingProgress, remove_earlier_run


@dataclass(frozen=True)
class TrainingResult:
    """The metric with the best epoch's prompts, and agreements on ``'val'`` and ``'test'``.

    Attributes:
        before: Agreements of the pair's words alone, without a context: the CLIP-IQA that needs no training.
        judgement: Whether the training gained anything, on the test images, or else on those of validation.
    """

    metric: CLIPIQA
    recipe: Recipe
    table: ScoreTable
    folder: Path
    scores: dict[str, Agreement]
    before: dict[str, Agreement]
    judgement: Judgement


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
    # the data first, since all later steps take time
    table = find_score_table(scores, seed=recipe.seed)
    folder = make_folder(out, () if resume else FILES, overwrite=True)
    with locked(folder):
        if not resume:
            remove_earlier_run(folder, overwrite)
        device = find_device(device)
        metric = _metric_to_train(recipe, device)
        backbone = metric.clip.weights.backbone
        seen = photos_of_mini(table, backbone)
        warn_of_mini_photos(seen, without_mini_photos)
        table = table.without(seen) if without_mini_photos else table
        table.check_splits(("train", "val"))
        reader = RatedImagesReader(metric, device, features, workers, table.hashes)
        train_images = reader.rated_views(table.part("train"), recipe)
        others = {split: reader.rated_images(table.part(split)) for split in ("val", "test")}
        tested = {split: images for split, images in others.items() if len(images.targets) > 1}
        first_scores = {split: predict(metric, images.features, metric.prompts) for split, images in tested.items()}
        before = {split: agreement(first_scores[split], images.targets) for split, images in tested.items()}
        best = train_context(
            metric, recipe, train_images, others["val"], folder, metadata=_metadata_of(table), resume=resume
        )
        metric.load_prompts(folder / BEST)
        last_scores = {split: predict(metric, images.features) for split, images in tested.items()}
        after = {"val": best}
        if "test" in tested:
            after["test"] = agreement(last_scores["test"], tested["test"].targets)
        judgement = _judge(table, first_scores, last_scores, recipe.seed, backbone)
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


_TRIES = "more rated images, or a head of all features (clipiqa fit)"


@dataclass(frozen=True)
class _JudgingSplit:
    """A split whose images tell whether the training gained anything.

    Attributes:
        image: What one of its images is, in words.
        learned_from: The splits that the prompts were learned from.
        confirmation: What confirms a gain on this split, or empty.
    """

    name: str
    image: str
    learned_from: Collection[str]
    confirmation: str


_JUDGING_SPLITS = (
    _JudgingSplit("test", "test image", ("train", "val"), ""),
    _JudgingSplit(
        "val", "validation image", ("train",), "these chose the epoch, so confirm it on images with split test"
    ),
)
"""The first whose images have a correlation judges."""


def _judge(
    table: ScoreTable, before: Mapping[str, Array], after: Mapping[str, Array], seed: int, backbone: str
) -> Judgement:
    """Return the judgement with advice, on the test images, or if these have no correlation, on those of validation.

    Images that share a photo or a scene with those that were learned from do not count.

    Args:
        before, after: Split -> scores of its images.
    """
    judgements = []
    for split in _JUDGING_SPLITS:
        if split.name in before:
            images = table.part(split.name)
            groups = table.frame["group"][table.frame["split"].isin(split.learned_from)]
            is_new = ~images["group"].isin(groups).to_numpy()
            scores = (before[split.name][is_new], after[split.name][is_new])
            judgement = judge(*scores, images[is_new], split.image, seed)
            judgements.append(judgement.advised(_TRIES, backbone, split.confirmation))
    return next((judgement for judgement in judgements if judgement.verdict != "unknown"), judgements[-1])


def train_context(
    metric: CLIPIQA,
    recipe: Recipe,
    train_images: RatedImages,
    val_images: RatedImages,
    folder: Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Agreement:
    """Train the metric's prompts in place; return the best epoch's agreement with the validation scores.

    Args:
        train_images: With all views of the recipe.
        folder: Place of ``best.safetensors``, ``last.safetensors``, ``log.csv`` and the state to resume.
        metadata: Further metadata of the files of prompts.
    """
    training = PromptTraining(metric, recipe, *train_images)
    val_images = RatedImages(val_images.features.to(training.targets.device), val_images.targets)
    setup: dict[str, Any] = {"pos_embedding": metric.pos_embedding, "precision": metric.precision}
    setup["recipe"] = asdict(replace(recipe, network={}))
    files = TrainingFiles(folder, _identity(training, val_images.features, setup), {**setup, **(metadata or {})})
    progress = files.restore(training) if resume else TrainingProgress()
    for _ in range(training.epochs_done, recipe.epochs):
        epoch = training.epoch()
        reached = agreement(predict(metric, val_images.features), val_images.targets)
        is_best = progress.is_best(reached)
        progress.add(epoch, reached)
        files.save(training, progress, is_best)
        line = f"epoch {epoch.number}/{recipe.epochs}: loss {epoch.loss:.5f}, validation {agreement_text(reached)}"
        log.info(f"{line}  best so far" if is_best else line)
    return progress.best


def _identity(training: PromptTraining, val_features: Tensor, setup: Mapping[str, Any]) -> str:
    """Return a hash of all that a resumed run must share with the one that left its state."""
    learner = training.learner
    tensors = {
        "ctx": learner.initial_ctx,
        "suffix": learner.token_suffix,
        "targets": training.targets,
        "val": val_features,
    }
    on_cpu = {name: tensor.cpu() for name, tensor in tensors.items()}
    return content_checksum(on_cpu, {**setup, "weights": training.metric.clip.weights.sha256})


def predict(metric: CLIPIQA, features: Tensor, prompts: Prompts = None) -> Array:
    """Return scores ``(M,)`` of features ``(M, D)``; default by the metric's own prompts."""
    with torch.no_grad():
        scores = metric.eval().score(features, prompts, aggregate="mean")
    return scores[:, 0].double().cpu().numpy()


def agreement(scores: Array, targets: Tensor) -> Agreement:
    """Return SROCC, PLCC and KRCC of scores ``(M,)`` with targets ``(M, 1)``."""
    opinions = targets[:, 0].double().cpu().numpy()
    return {"srocc": srocc(scores, opinions), "plcc": plcc(scores, opinions), "krcc": krcc(scores, opinions)}


def agreement_text(scores: Agreement) -> str:
    return ", ".join(f"{name.upper()} {value:.4f}" for name, value in scores.items())
