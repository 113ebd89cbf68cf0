"""Epochs of a training of prompts: each one is compared with the validation scores, and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ...metric import CLIPIQA
from ...prompts.head import content_checksum
from ...text import log
from ...training import PromptTraining, Recipe
from .correlations import Correlations, correlations, correlations_text, scores_of_features
from .rated_images import RatedImages
from .training_files import TrainingFiles, TrainingProgress


def train_context(
    metric: CLIPIQA,
    recipe: Recipe,
    train_images: RatedImages,
    val_images: RatedImages,
    folder: Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Correlations:
    """Train the metric's prompts in place; return the best epoch's correlations with the validation scores.

    Args:
        train_images: With all views of the recipe.
        folder: Place of ``best.safetensors``, ``last.safetensors``, ``log.csv`` and the state to resume.
        metadata: Further metadata of the files of prompts.
    """
    training = PromptTraining(metric, recipe, *train_images)
    val_images = RatedImages(val_images.features.to(training.targets.device), val_images.targets)
    recipe_fields = asdict(replace(recipe, network={}))
    setup = {"pos_embedding": metric.pos_embedding, "precision": metric.precision, "recipe": recipe_fields}
    identity = _identity(training, val_images.features, setup)
    files = TrainingFiles(folder, identity, recipe_fields, {**setup, **(metadata or {})})
    progress = files.restore(training) if resume else TrainingProgress()
    for _ in range(training.epochs_done, recipe.epochs):
        epoch = training.epoch()
        reached = correlations(scores_of_features(metric, val_images.features), val_images.targets)
        is_best = progress.is_best(reached)
        progress.add(epoch, reached)
        files.save(training, progress, is_best)
        line = f"epoch {epoch.number}/{recipe.epochs}: loss {epoch.loss:.5f}, validation {correlations_text(reached)}"
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
