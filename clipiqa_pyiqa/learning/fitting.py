"""Fit heads to a few rated photos, in seconds, on stored features."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..datasets.mini_photos import look_for_mini_photos
from ..datasets.score_table import ScoreTable, find_score_table
from ..errors import CLIPIQAError, nearest
from ..errors.arguments import SharedOptions, checked
from ..metric import CLIPIQA, find_device
from ..prompts.heads import FORMAT, METHODS, OpinionHead
from ..prompts.provenance import in_a_word
from ..stats.correlation import plcc, srocc
from .closed_forms import FITS, Array, Fitted, RatedPhotos
from .feature_store import FeatureStore, Say

NEEDED = {"affine": 3, "ridge": 6, "auto": 10}
"""Smallest number of rated photos for each method."""
FIT_ON = ("features", "stages")
FOLDS = 5
_MOST_FOLDED = 1000  # photos; with more photos, folds and leave-one-out predict almost the same


class FitError(CLIPIQAError):
    """Scores to which no head can be fitted."""


class FitAgreement(NamedTuple):
    """Agreement of predicted with given scores; ``rmse`` is a share of the score range."""

    srocc: float
    plcc: float
    rmse: float


@dataclass(frozen=True)
class FitResult:
    """A fitted head, each method's agreement in cross-validation, and the head's agreement on held-out splits."""

    head: OpinionHead
    table: ScoreTable
    cross_validation: dict[str, FitAgreement]
    held_out: dict[str, FitAgreement]

    def save(self, path: str | Path) -> None:
        """Write the head as ``.safetensors``."""
        self.head.save(path)


@checked
def fit(
    scores: ScoreTable | str | Path,
    *,
    method: str = "auto",
    fit_on: str = "features",
    own_scale: bool = False,
    without_mini_photos: bool = False,
    metric: CLIPIQA | None = None,
    device: str | torch.device | None = SharedOptions.device,
    features: str | Path | None = None,
    workers: int | None = SharedOptions.workers,
    seed: int = 123,
    say: Say | None = None,
) -> FitResult:
    """Fit a head to rated photos; the image tower stays frozen.

    Args:
        scores: As for :func:`clipiqa_pyiqa.train`; with splits, only ``'train'`` is fitted.
        method: ``'affine'``, ``'ridge'`` (see :class:`~clipiqa_pyiqa.prompts.heads.OpinionHead`), or ``'auto'``,
            which takes ridge if ridge is clearly better in cross-validation.
        fit_on: ``'features'`` (image features) or ``'stages'`` (means and deviations of all stages of the tower).
        own_scale: Predict on the given scale; otherwise as shares of the score range, high is good.
        without_mini_photos, features, say: As for :func:`clipiqa_pyiqa.train`.
        metric: Metric with the image tower and prompt pair; default CLIP-IQA on RN50.
        seed: Seed of the folds.

    Returns:
        The head and its agreement with the scores.

    Raises:
        CLIPIQAError: An option, scores or images cannot be used.

    Example:
        >>> fit("scores.csv", fit_on="stages").save("head.safetensors")  # doctest: +SKIP
    """
    for option, value, known in (("method", method, NEEDED), ("fit_on", fit_on, FIT_ON)):
        if value not in known:
            raise FitError(f"unknown {option} {value!r}: {nearest(value, known)}")
    if not isinstance(scores, ScoreTable):
        scores = find_score_table(scores, seed=seed, val_fraction=0.0, needed=("train",))
    device = find_device(device)
    metric = (CLIPIQA() if metric is None else metric).to(device).eval()
    if metric.head is not None or len(metric.prompts) > 1:
        raise FitError("metric must have one pair of prompts and no head.")
    table = look_for_mini_photos(scores, metric.clip.weights.backbone, without_mini_photos, ("train",))
    rows = {split: np.array(table.rows(split), int) for split in ("train", "val", "test")}
    if len(rows["train"]) < NEEDED[method]:
        raise FitError(f"method {method!r} needs at least {NEEDED[method]} rated photos; got {len(rows['train'])}.")
    store = FeatureStore(metric, features, stages=fit_on == "stages")
    encoded = store.features(table.paths, name="photos", device=device, workers=workers, say=say)[:, 0]
    with torch.no_grad():
        texts = metric.encode_prompts().cpu()
    direction = metric.clip.logit_scale * (texts[0, 0] - texts[0, 1])  # (D,)
    x = encoded[:, len(direction) :] if fit_on == "stages" else encoded
    zero_shot = (encoded[:, : len(direction)] @ direction).sigmoid().double().numpy()
    photos = RatedPhotos(encoded, x.double().numpy(), zero_shot, np.array(table.targets))
    fit_to = photos.at(rows["train"])
    if np.ptp(fit_to.shares) == 0:
        raise FitError(f"the scores of all {len(fit_to.shares)} photos to fit are equal: there is nothing to learn.")

    provenance = metric.provenance()
    fields = ("version", "backbone", "weights", "weights_sha256", "quick_gelu", "pos_embedding", "precision")
    metadata = {
        **{"format": FORMAT, **{name: in_a_word(provenance[name]) for name in fields}},
        **{"base_positive": metric.prompts[0].positive, "base_negative": metric.prompts[0].negative},
        **{"fit_on": fit_on, "data_set": table.name, "rated_photos": str(len(fit_to.shares)), "seed": str(seed)},
        **{"score_range": json.dumps(table.score_range), "lower_better": json.dumps(table.lower_better)},
        "scale": "own" if own_scale else "share",
    }
    fitted = {name: FITS[name](fit_to) for name in (METHODS if method == "auto" else (method,))}
    predicted = {name: _out_of_fold(name, fit_to, each, direction, metadata, seed) for name, each in fitted.items()}
    agreements = {name: _agreement(each, fit_to.shares) for name, each in predicted.items()}
    best = _choose({name: (each - fit_to.shares) ** 2 for name, each in predicted.items()})
    head = _make_head(best, fitted[best], direction, metadata)
    head.metadata["cross_validation"] = json.dumps({name: found._asdict() for name, found in agreements.items()})
    tested = {split: photos.at(rows[split]) for split in ("val", "test") if len(rows[split]) > 1}
    held_out = {split: _agreement(_predict(head, each), each.shares) for split, each in tested.items()}
    return FitResult(head, table, agreements, held_out)


def _make_head(name: str, fitted: Fitted, direction: Tensor, metadata: Mapping[str, str]) -> OpinionHead:
    tensors = {key: torch.from_numpy(value).float() for key, value in fitted.tensors.items()}
    return OpinionHead({**tensors, "direction": direction}, {**metadata, "method": name})


def _out_of_fold(
    name: str, photos: RatedPhotos, fitted: Fitted, direction: Tensor, metadata: Mapping[str, str], seed: int
) -> Array:
    count = len(photos.shares)
    if count > _MOST_FOLDED or count - math.ceil(count / FOLDS) < NEEDED[name]:
        return fitted.left_out
    order, predicted = np.random.default_rng(seed).permutation(count), np.empty(count)
    for fold in np.array_split(order, FOLDS):
        rest = photos.at(np.setdiff1d(order, fold))
        predicted[fold] = _predict(_make_head(name, FITS[name](rest), direction, metadata), photos.at(fold))
    return predicted


def _choose(squares: Mapping[str, Array]) -> str:
    """Return the first method, unless a later method is better by a standard error."""
    best, *others = squares
    for name in others:
        gain = squares[best] - squares[name]
        if gain.mean() > gain.std(ddof=1) / math.sqrt(len(gain)):
            best = name
    return best


def _predict(head: OpinionHead, photos: RatedPhotos) -> Array:
    with torch.no_grad():
        return head(photos.features)[:, 0].double().numpy()


def _agreement(predicted: Array, shares: Array) -> FitAgreement:
    rmse = float(np.sqrt(np.mean((predicted - shares) ** 2)))
    return FitAgreement(srocc(predicted, shares), plcc(predicted, shares), rmse)
