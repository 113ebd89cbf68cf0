"""Fit heads to a few rated photos, in seconds, on stored features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas
import torch
from torch import Tensor

from ...checks import FilePath, check_one_of, check_whole
from ...errors import CLIPIQAError
from ...machine import find_device
from ...metric import CLIPIQA
from ...prompts.head import HEAD_FORMAT, OpinionHead
from ...prompts.provenance import as_texts
from ...text import log
from ...training import Array, RatedPhotos, predict
from ..opinions.learned_photos import written_digests
from ..opinions.mini_photos import warn_of_mini_photos, without_photos_of_mini
from ..opinions.score_table import ScoreTable, find_score_table
from ..options import SharedOptions, check_workers
from .cross_validation import NEEDED, FitAgreement, ValidatedFit, fit_agreement, random_split, validated_fit
from .fit_result import FitResult
from .judgement import Judgement, judgement_on, judgement_on_split, knows_ratings
from .stored_features import read_or_encode_features


def fit(
    scores: ScoreTable | FilePath,
    *,
    method: Literal["affine", "ridge", "auto"] = "auto",
    fit_on: Literal["features", "stages"] = "features",
    own_scale: bool = False,
    without_mini_photos: bool = False,
    splits: int = 0,
    metric: CLIPIQA | None = None,
    device: str | torch.device | None = SharedOptions.device,
    features: FilePath | None = None,
    workers: int | None = SharedOptions.workers,
    seed: int = 123,
) -> FitResult:
    """Fit a head to rated photos; the image tower stays frozen.

    Args:
        scores: As for :func:`clipiqa_pyiqa.train`; with splits, only ``'train'`` is fitted.
        method: ``'affine'``, ``'ridge'`` (see :class:`~clipiqa_pyiqa.prompts.head.OpinionHead`), or ``'auto'``: ridge
            if cross-validation finds it clearly better.
        fit_on: ``'features'`` (image features) or ``'stages'`` (means and deviations of all stages of the tower).
        own_scale: Predict on the scale of the given scores; by default from 0 (worst) to 1 (best).
        without_mini_photos, features: As for ``train``.
        splits: Number of random splits of groups: a head is fitted to 80 % and predicts the rest.
    """
    check_one_of("method", method, NEEDED)
    check_one_of("fit_on", fit_on, ("features", "stages"))
    check_whole("splits", splits, 0)
    check_workers(workers)
    table = find_score_table(scores, seed=seed, val_fraction=0.0, needed=("train",))
    device = find_device(device)
    metric = (metric or CLIPIQA()).to(device).eval()
    _check_asks_one_pair(metric)
    backbone = metric.clip.weights.backbone
    table.log_notes()
    warn_of_mini_photos(table, backbone, without_mini_photos)
    if without_mini_photos:
        table = without_photos_of_mini(table, backbone)
    table.check_splits(("train",))
    train = table.part("train")
    _check_enough(method, train)
    has_stages = fit_on == "stages"
    encoded = read_or_encode_features(
        metric, features, table.frame["path"], stages=has_stages, device=device, workers=workers, hashes=table.hashes
    )[:, 0]
    direction = _direction_of(metric)
    photos = _rated_photos(encoded, direction, table.frame, fit_on)
    parts = {split: photos.at((table.frame["split"] == split).to_numpy()) for split in ("train", "val", "test")}
    groups = train["group"].factorize()[0]
    best = validated_fit(method, parts["train"], groups, seed)
    tested = {split: part for split, part in parts.items() if len(part.shares) > 1}
    before = {split: fit_agreement(part.zero_shot, part.shares) for split, part in tested.items()}
    predicted = {split: predict(best.head, part) for split, part in tested.items() if split != "train"}
    _warn_of_doubtful_opinions(parts["train"], best, before["train"])
    judgement = _judgement(table, parts, best, predicted, seed).advised(
        _tries(method, best, fit_on), knows_ratings(metric)
    )
    draws = range(seed, seed + splits)
    random_splits = [random_split(method, train, parts["train"], groups, draw, seed) for draw in draws]
    fields = {**_provenance(metric, table, seed), **_scale(table, own_scale), "fit_on": fit_on, "method": best.method}
    return FitResult(
        head=_head_of(best, direction, fields),
        table=table,
        cross_validation=best.agreements,
        held_out={split: fit_agreement(predictions, parts[split].shares) for split, predictions in predicted.items()},
        before=before,
        judgement=judgement,
        splits=tuple(split.agreement for split in random_splits),
        drawn=tuple(split.tested_rows for split in random_splits),
    )


def _check_asks_one_pair(metric: CLIPIQA) -> None:
    if metric.head is not None or len(metric.prompts) > 1 or len(metric.prompts[0].texts) == 1:
        asked = "a head" if metric.head is not None else ", ".join(question.name for question in metric.prompts)
        raise CLIPIQAError(f"a head is fitted to one pair of texts, such as 'quality'; got {asked}.")


def _check_enough(method: str, train: pandas.DataFrame) -> None:
    if len(train) < NEEDED[method]:
        raise CLIPIQAError(
            f"method {method!r} needs at least {NEEDED[method]} rated photos to train on; got {len(train)}."
        )
    if train["group"].nunique() == 1:
        raise CLIPIQAError(
            "all photos to fit belong to one group, so none can be held out: set another `group`.", options=("group",)
        )


def _warn_of_doubtful_opinions(photos: RatedPhotos, best: ValidatedFit, zero_shot: FitAgreement) -> None:
    if np.ptp(photos.shares) < 0.5:
        log.warning("the ratings cover less than half of the range: scores beyond them are extrapolated")
    if best.method == "affine" and zero_shot.plcc < 0:
        log.warning("the head turns the order of the metric round, as these opinions contradict it: rate more photos")


def _scale(table: ScoreTable, own_scale: bool) -> dict[str, Any]:
    """Return the range and the direction of a head's scores: those of the opinions, or from 0 (worst) to 1."""
    if own_scale:
        return {"score_range": table.score_range, "lower_better": table.lower_better}
    return {"score_range": (0.0, 1.0), "lower_better": False}


def _direction_of(metric: CLIPIQA) -> Tensor:
    """Return the direction ``(D,)`` of features whose scalar product with them is the logit of the zero-shot score."""
    with torch.no_grad():
        positive, negative = metric.encode_prompts()[0].cpu()
    return metric.clip.logit_scale * (positive - negative)


def _rated_photos(encoded: Tensor, direction: Tensor, frame: pandas.DataFrame, fit_on: str) -> RatedPhotos:
    """Return what heads are fitted to; statistics of stages stand behind the image features of each row."""
    features = encoded[:, : len(direction)]
    inputs = encoded[:, len(direction) :] if fit_on == "stages" else encoded
    zero_shot = (features @ direction).sigmoid().double().numpy()
    return RatedPhotos(inputs.double().numpy(), zero_shot, frame["target"].to_numpy())


def _provenance(metric: CLIPIQA, table: ScoreTable, seed: int) -> dict[str, Any]:
    """Return the fields of a head's file that tell what it was fitted to."""
    train = table.part("train")
    return {
        "format": HEAD_FORMAT,
        **metric.provenance(),
        "base_positive": metric.prompts[0].texts[0],
        "base_negative": metric.prompts[0].texts[-1],
        "data_set": table.name,
        "rated_photos": train["path"].nunique(),  # several people may have rated one
        "seed": seed,
        "trained_on": written_digests(train["path"], table.hashes),
    }


def _head_of(best: ValidatedFit, direction: Tensor, fields: Mapping[str, Any]) -> OpinionHead:
    tensors = {name: torch.from_numpy(array).float() for name, array in best.head.items()}
    return OpinionHead({**tensors, "direction": direction}, as_texts(fields))


def _judgement(
    table: ScoreTable, parts: Mapping[str, RatedPhotos], best: ValidatedFit, predicted: Mapping[str, Array], seed: int
) -> Judgement:
    """Return the judgement on the test images, those of validation, or by cross-validation: the first that tells.

    Args:
        predicted: Held-out split -> predictions by the head.
    """
    for split in ("test", "val"):
        if split in predicted:
            judgement = judgement_on_split(table, split, parts[split].zero_shot, predicted[split], ("train",), seed)
            if judgement.verdict != "unknown":
                return judgement
    train = table.part("train")
    zero_shot = parts["train"].zero_shot
    if best.keeps_order:
        # the gain is 0: the head keeps the order, while predictions by the heads of several folds are not on one scale
        return judgement_on(zero_shot, zero_shot, train, "rated photo", seed)
    on = f"rated photo, each predicted by a head that was fitted to others ({best.folds} folds)"
    return judgement_on(zero_shot, best.predicted, train, on, seed)


def _tries(asked: str, best: ValidatedFit, fit_on: str) -> str:
    """Return what to try where a head gained nothing."""
    tries = ["more rated photos"]
    if asked == "affine":
        tries.append("the method ridge")
    if fit_on == "features":
        tries.append("a fit on stages")
    return ", or ".join(tries) + (" (affine changes the scale, never the order of photos)" if best.keeps_order else "")
