"""From a few rated photos to a metric that follows them, in seconds: heads fitted on stored features."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.mini_photos import look_for_mini_photos
from ..datasets.score_table import ScoreTable, find_score_table
from ..errors import CLIPIQAError, counted, nearest
from ..errors.arguments import SharedOptions, checked
from ..metric import CLIPIQA, find_device
from ..prompts.heads import FORMAT, METHODS, OpinionHead
from ..prompts.provenance import in_a_word
from ..stats.correlation import plcc, srocc
from .closed_forms import FITS, Array, Data, Fitted
from .feature_store import FeatureStore, Say
from .views import whole_views

NEEDED = {"affine": 3, "ridge": 6, "cache": 4, "auto": 10}
"""Rated photos that each method needs."""
FIT_ON = ("features", "stages")
FOLDS = 5
_NESTED = 1000  # photos up to which folds are fitted anew; beyond, leaving one out differs too little from it


class FitError(CLIPIQAError):
    """Scores to which no head can be fitted."""


class FitAgreement(NamedTuple):
    """How predicted scores agree with given ones; ``rmse`` is a share of the range of scores."""

    srocc: float
    plcc: float
    rmse: float


@dataclass(frozen=True)
class FitResult:
    """A fitted head.

    Attributes:
        head: What :func:`clipiqa_pyiqa.CLIPIQA` loads, once saved.
        table: The images and their scores.
        cross_validation: Method -> how predictions of photos that it was not fitted to agree with their scores.
        why: In a sentence, why this method.
        held_out: Split -> agreement on the images of ``'val'`` and ``'test'``, if the table has any.
        coverage: Split -> share of these images whose score lies in its interval, if there are intervals.
        seen_by_mini: How many of the images ``mini``, if it is the backbone, was trained on.
    """

    head: OpinionHead
    table: ScoreTable
    cross_validation: dict[str, FitAgreement]
    why: str
    held_out: dict[str, FitAgreement]
    coverage: dict[str, float]
    seen_by_mini: int

    def save(self, path: str | Path) -> None:
        """Write the head to a ``.safetensors`` file, to be loaded like learned prompts."""
        self.head.save(path)


@checked
def fit(
    scores: ScoreTable | str | Path,
    *,
    method: str = "auto",
    fit_on: str = "features",
    own_scale: bool = False,
    conformal: float | None = None,
    without_mini_photos: bool = False,
    metric: CLIPIQA | None = None,
    device: str | torch.device | None = SharedOptions.device,
    features: str | Path | None = None,
    workers: int | None = SharedOptions.workers,
    seed: int = 123,
    say: Say | None = None,
) -> FitResult:
    """Fit a head to rated photos, so that a metric scores as the people who rated them; the image tower stays frozen.

    Args:
        scores: Images and their scores: a table, a CSV file, or the name of a data set of pyiqa's. All images are
            fitted to, unless a column of splits says otherwise.
        method: ``'affine'``, ``'ridge'`` or ``'cache'``, see :class:`~clipiqa_pyiqa.prompts.heads.OpinionHead`; or
            ``'auto'``: by their errors in cross-validation, the simplest that is not clearly beaten.
        fit_on: ``'features'``, the image feature, or ``'stages'``, means and deviations of every stage of the tower.
        own_scale: Predict scores as they were given, in place of shares of their range that are high where good.
        conformal: How often the true score shall lie between a lower and an upper bound, such as 0.9: a quarter of the
            photos is then held out to measure how far off predictions are (split-conformal prediction).
        without_mini_photos: On ``backbone='mini'``, leave out the photos that ``mini`` was trained on.
        metric: Whose image tower and question to begin from; default CLIP-IQA on RN50.
        device, features, workers, say: As for :func:`clipiqa_pyiqa.train`.
        seed: Of folds, and of the photos that are held out.

    Raises:
        CLIPIQAError: A ``ValueError``, for unknown options, and scores or images that cannot be used.

    Example:
        >>> fit("scores.csv", conformal=0.9).save("head.safetensors")  # doctest: +SKIP
    """
    for option, value, known in (("method", method, NEEDED), ("fit_on", fit_on, FIT_ON)):
        if value not in known:
            raise FitError(f"unknown {option} {value!r}: {nearest(value, known)}")
    if conformal is not None and not 0 < conformal < 1:
        raise FitError(f"conformal must be a share between 0 and 1, such as 0.9; got {conformal!r}.")
    if not isinstance(scores, ScoreTable):
        scores = find_score_table(scores, seed=seed, val_fraction=0.0, needed=("train",))
    device = find_device(device)
    metric = (CLIPIQA() if metric is None else metric).to(device).eval()
    if metric.head is not None or len(metric.prompts) > 1:
        raise FitError("a head begins from one question: pass a metric with a single pair of prompts and no head.")
    table, seen = look_for_mini_photos(scores, metric.clip.weights.backbone, without_mini_photos, ("train",))
    rows = np.array(table.rows("train"))
    held = _calibration_rows(len(rows), method, conformal, seed)
    store = FeatureStore(metric, features, stages=fit_on == "stages")
    views = whole_views(len(table.paths))
    encoded = store.features(table.paths, views, what="photos", device=device, workers=workers, say=say)[:, 0]
    with torch.no_grad():
        texts = metric.encode_prompts().cpu()
    direction = metric.clip.logit_scale * (texts[0, 0] - texts[0, 1])  # (D,)
    x = encoded[:, len(direction) :] if fit_on == "stages" else encoded
    zero_shot = (encoded[:, : len(direction)] @ direction).sigmoid().double().numpy()
    data = Data(encoded, x.double().numpy(), zero_shot, np.array(table.targets))
    fit_to = data.at(np.delete(rows, held))
    if np.ptp(fit_to.shares) == 0:
        raise FitError(f"the scores of all {len(fit_to.shares)} photos to fit are equal: there is nothing to learn.")

    metadata = _metadata(metric, table, fit_on, own_scale, len(fit_to.shares), seed)
    fitted = {name: FITS[name](fit_to) for name in (METHODS if method == "auto" else (method,))}
    predicted = {name: _out_of_fold(name, fit_to, each, direction, metadata, seed) for name, each in fitted.items()}
    errors = {name: _agreement(each, fit_to.shares) for name, each in predicted.items()}
    best = _chosen({name: (each - fit_to.shares) ** 2 for name, each in predicted.items()})
    head = _head(best, fitted[best], direction, metadata)
    if conformal is not None:
        half_width = _half_width(head, data.at(rows[held]), conformal)
        found = {"level": conformal, "half_width": half_width, "calibrated_on": len(held)}
        head = _head(best, fitted[best], direction, {**metadata, "conformal": json.dumps(found)})
    head.metadata["cross_validation"] = json.dumps({name: error._asdict() for name, error in errors.items()})
    result = FitResult(head, table, errors, _reason(best, errors, method), {}, {}, seen)
    for split in ("val", "test"):
        tested = data.at(np.array(table.rows(split), int))
        if len(tested.shares) > 1:
            scored = _predicted(head, tested)
            result.held_out[split] = _agreement(scored, tested.shares)
            if head.half_width is not None:
                result.coverage[split] = float(np.mean(np.abs(scored - tested.shares) <= head.half_width))
    return result


def _calibration_rows(count: int, method: str, conformal: float | None, seed: int) -> NDArray[np.int64]:
    """Return which of the photos to hold out for intervals: a quarter, and as many as the level needs."""
    # the k-th smallest of m errors bounds a new one with probability k / (m + 1), and k is at most m
    least = 0 if conformal is None else math.ceil(round(conformal / (1 - conformal), 9))
    if count < NEEDED[method] + least:
        more = f", and {least} more for intervals of {conformal:g}" if least else ""
        raise FitError(f"method {method!r} needs at least {counted(NEEDED[method], 'rated photo')}{more}; got {count}.")
    most = max(least, min(count // 4, count - NEEDED[method])) if least else 0
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def _head(name: str, fitted: Fitted, direction: Tensor, metadata: Mapping[str, str]) -> OpinionHead:
    tensors = {key: torch.from_numpy(value).float() for key, value in fitted.tensors.items()}
    if "points" in tensors:
        tensors["points"] = tensors["points"].half()  # half the file; cosines of it are exact to 1e-4 and better
    tensors["direction"] = direction
    digest = hashlib.sha256(json.dumps(fitted.options).encode())
    for key in sorted(tensors):
        digest.update(tensors[key].contiguous().numpy().tobytes())
    own = {"method": name, "options": json.dumps(fitted.options), "content": digest.hexdigest()[:8]}
    return OpinionHead(tensors, {**metadata, **own})


def _out_of_fold(
    name: str, data: Data, fitted: Fitted, direction: Tensor, metadata: Mapping[str, str], seed: int
) -> Array:
    """Return predictions of each photo by a fit to other photos."""
    count = len(data.shares)
    if count > _NESTED or count - math.ceil(count / FOLDS) < NEEDED[name]:
        return fitted.left_out
    order, predicted = np.random.default_rng(seed).permutation(count), np.empty(count)
    for fold in np.array_split(order, FOLDS):
        rest = data.at(np.setdiff1d(order, fold))
        predicted[fold] = _predicted(_head(name, FITS[name](rest), direction, metadata), data.at(fold))
    return predicted


def _chosen(squares: Mapping[str, Array]) -> str:
    """Return the simplest method that no later one beats by more than a standard error of their errors' difference.

    With few photos the method of the least error is often so by luck.
    """
    best, *others = squares
    for name in others:
        gain = squares[best] - squares[name]
        if gain.mean() > gain.std(ddof=1) / math.sqrt(len(gain)):
            best = name
    return best


def _predicted(head: OpinionHead, data: Data) -> Array:
    with torch.no_grad():
        return head(data.features)[:, 0].double().numpy()


def _agreement(predicted: Array, shares: Array) -> FitAgreement:
    rmse = float(np.sqrt(np.mean((predicted - shares) ** 2)))
    return FitAgreement(srocc(predicted, shares), plcc(predicted, shares), rmse)


def _half_width(head: OpinionHead, data: Data, level: float) -> float:
    """Return the error that a share of predictions stays below, corrected for the finite number of photos."""
    errors = np.sort(np.abs(_predicted(head, data) - data.shares))
    return float(errors[math.ceil(round((len(errors) + 1) * level, 9)) - 1])


def _reason(best: str, errors: Mapping[str, FitAgreement], asked: str) -> str:
    if asked != "auto":
        return f"{best} was asked for."
    others = " and ".join(f"{error.rmse:.4f} of {name}" for name, error in errors.items() if name != best)
    return (
        f"{best} is chosen: on photos that it was not fitted to its RMSE is {errors[best].rmse:.4f}, against {others}; "
        "a less simple method must be better by more than one standard error."
    )


def _metadata(
    metric: CLIPIQA, table: ScoreTable, fit_on: str, own_scale: bool, count: int, seed: int
) -> dict[str, str]:
    """Return what a head's file says whatever the method."""
    known = metric.provenance()
    names = ("version", "backbone", "weights", "weights_sha256", "quick_gelu", "pos_embedding", "precision")
    return {
        **{"format": FORMAT, **{name: in_a_word(known[name]) for name in names}},
        **{"base_positive": metric.prompts[0].positive, "base_negative": metric.prompts[0].negative},
        **{"fit_on": fit_on, "data_set": table.name, "rated_photos": str(count), "seed": str(seed)},
        **{"score_range": json.dumps(table.score_range), "lower_better": json.dumps(table.lower_better)},
        **{"scale": "own" if own_scale else "share", "conformal": "null"},
    }
