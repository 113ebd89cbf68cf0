"""Fit heads to a few rated photos, in seconds, on stored features."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas
import torch
from numpy.typing import NDArray

from ..datasets.score_table import ScoreTable, draw_groups, find_score_table, look_for_mini_photos, written_digests
from ..errors import CLIPIQAError, FilePath, SharedOptions, checked, log
from ..files.writing import write_text
from ..metric import CLIPIQA, find_device
from ..prompts.files import HEAD_FORMAT, OpinionHead
from ..prompts.pairs import as_texts
from ..stats.correlation import plcc, srocc
from .feature_store import stored_features
from .judgement import Judgement, judge

PENALTIES = np.logspace(-6, 3, 37)  # factors of the largest variance
Array = NDArray[np.float64]
# a head's tensors: `prior` (2,), and for ridge regression `mean` and `weight` (K,)
Fitted = Mapping[str, NDArray[np.floating[Any]]]


class RatedPhotos(NamedTuple):
    """A head's inputs ``(n, K)``; zero-shot scores ``(n,)``; people's scores ``(n,)``, in [0, 1]."""

    x: Array
    zero_shot: Array
    shares: Array

    def at(self, rows: NDArray[Any]) -> RatedPhotos:
        return RatedPhotos(*(part[rows] for part in self))


def fit_affine(photos: RatedPhotos) -> Fitted:
    return {"prior": np.linalg.lstsq(_basis(photos), photos.shares, rcond=None)[0]}


def fit_ridge(photos: RatedPhotos) -> Fitted:
    """Return the fit of a line plus a penalised linear function of all inputs.

    The penalty is the one with the smallest error when each photo is predicted from all other photos.
    """
    mean, scale = photos.x.mean(axis=0), photos.x.std(axis=0)
    scale = np.where(scale > 1e-6 * scale.max(), scale, scale.max() or 1.0)
    x = (photos.x - mean) / scale
    q = np.linalg.qr(_basis(photos))[0]  # the line has no penalty: fit what the line does not explain
    rest, y = x - q @ (q.T @ x), photos.shares - q @ (q.T @ photos.shares)
    left, deviations, _ = np.linalg.svd(rest, full_matrices=False)
    variances = deviations[deviations > 1e-5 * deviations[0]] ** 2
    left = left[:, : len(variances)]
    along, line = left.T @ y, (q * q).sum(1)

    def error(penalty: float) -> float:
        shrunk = variances / (variances + penalty)
        leverage = line + (left * left) @ shrunk
        return float(np.mean(((y - left @ (shrunk * along)) / np.maximum(1 - leverage, 1e-9)) ** 2))

    penalty = min((*(PENALTIES * variances[0]), math.inf), key=error)
    weight = rest.T @ (left @ (along / (variances + penalty)))
    prior, *_ = np.linalg.lstsq(_basis(photos), photos.shares - x @ weight, rcond=None)
    return {"prior": prior, "mean": mean, "weight": weight / scale}


def predict(fitted: Fitted, photos: RatedPhotos) -> Array:
    """Return predictions ``(n,)``, as shares of the score range."""
    line = _basis(photos) @ fitted["prior"]
    return line + (photos.x - fitted["mean"]) @ fitted["weight"] if "weight" in fitted else line


FITS = {"affine": fit_affine, "ridge": fit_ridge}


def _basis(photos: RatedPhotos) -> Array:
    return np.column_stack([photos.zero_shot, np.ones_like(photos.zero_shot)])


NEEDED = {"affine": 3, "ridge": 6, "auto": 10}  # method -> smallest number of rated photos
FOLDS = 5


class FitAgreement(NamedTuple):
    """Agreement of predicted with given scores; ``rmse`` is a share of the score range."""

    srocc: float
    plcc: float
    rmse: float


@dataclass(frozen=True)
class FitResult:
    """A fitted head, and agreements with the scores.

    Attributes:
        judgement: Whether the head gained anything: on the test or validation images, or else on the rated photos, each
            predicted by a head that was fitted to others.
        drawn: The rows that each random split tests.
    """

    head: OpinionHead
    table: ScoreTable
    cross_validation: dict[str, FitAgreement]
    held_out: dict[str, FitAgreement]
    before: dict[str, FitAgreement]
    judgement: Judgement
    splits: tuple[FitAgreement, ...] = ()
    drawn: tuple[list[int], ...] = ()

    def save(self, path: FilePath) -> None:
        self.head.save(path)

    def save_splits(self, path: FilePath) -> None:
        """Write a CSV file of paths, scores, groups (the row's number if there are none) and ``split_1``, …."""
        frame, (low, high) = self.table.part("train"), self.table.score_range
        share = 1 - frame["target"] if self.table.lower_better else frame["target"]
        found = frame.assign(score=low + (high - low) * share)[["path", "score", "group"]]
        for number, rows in enumerate(self.drawn, start=1):
            found[f"split_{number}"] = np.where(found.index.isin(rows), "test", "train")
        write_text(path, found.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


@checked
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
        method: ``'affine'``, ``'ridge'`` (see :class:`~clipiqa_pyiqa.prompts.files.OpinionHead`), or ``'auto'``: ridge
            if cross-validation finds it clearly better.
        fit_on: ``'features'`` (image features) or ``'stages'`` (means and deviations of all stages of the tower).
        own_scale: Predict on the scale of the given scores; by default from 0 (worst) to 1 (best).
        without_mini_photos, features: As for ``train``.
        splits: Number of random splits of groups: a head is fitted to 80 % and predicts the rest.
    """
    table = find_score_table(scores, seed=seed, val_fraction=0.0, needed=("train",))
    device = find_device(device)
    metric = (metric or CLIPIQA()).to(device).eval()
    if metric.head is not None or len(metric.prompts) > 1:
        raise CLIPIQAError("metric must have one pair of prompts and no head.")
    table = look_for_mini_photos(table, metric.clip.weights.backbone, without_mini_photos, ("train",))
    frame, train = table.frame, table.part("train")
    if len(train) < NEEDED[method]:
        raise CLIPIQAError(
            f"method {method!r} needs at least {NEEDED[method]} rated photos to train on; got {len(train)}."
        )
    stages = fit_on == "stages"
    encoded = stored_features(
        metric, features, frame["path"], stages=stages, device=device, workers=workers, hashes=table.hashes
    )[:, 0]
    with torch.no_grad():
        positive, negative = metric.encode_prompts()[0].cpu()
    direction = metric.clip.logit_scale * (positive - negative)  # (D,)
    x = encoded[:, len(direction) :] if stages else encoded
    zero_shot = (encoded[:, : len(direction)] @ direction).sigmoid().double().numpy()
    photos = RatedPhotos(x.double().numpy(), zero_shot, frame["target"].to_numpy())
    parts = {split: photos.at((frame["split"] == split).to_numpy()) for split in ("train", "val", "test")}
    fit_to = parts["train"]
    if np.ptp(fit_to.shares) < 0.5:
        log.warning("the ratings cover less than half of the range: scores beyond them are extrapolated")
    groups = train["group"].factorize()[0]
    if max(groups) == 0:
        raise CLIPIQAError("all photos to fit belong to one group, so none can be held out: set another `group`.")
    best = _fit(method, fit_to, groups, seed)
    tested = {split: part for split, part in parts.items() if len(part.shares) > 1}
    before = {split: _agreement(part.zero_shot, part.shares) for split, part in tested.items()}
    if best.method == "affine" and before["train"].plcc < 0:
        log.warning("the head turns the order of the metric round, as these opinions contradict it: rate more photos")
    del tested["train"]
    held_out = {split: _agreement(predict(best.head, part), part.shares) for split, part in tested.items()}
    judgement = _judge(table, parts, best, seed)
    judgement = judgement.advised(_tries(method, best, fit_on), metric.clip.weights.backbone)
    agreements_of_splits, drawn = [], []
    for number in range(splits):
        rows = draw_groups(train["group"], 0.2, seed + number)
        is_out = train.index.isin(rows)
        is_few = min(len(rows), len(train) - len(rows) - NEEDED[method] + 2) < 2
        if is_few or np.ptp(groups[~is_out]) == 0:
            raise CLIPIQAError(
                f"{len(train)} photos in {max(groups) + 1} groups are too few for random splits: two groups or "
                "more must be left to fit to, and a group of up to 40 % of the photos is held out."
            )
        refitted = _fit(method, fit_to.at(~is_out), groups[~is_out], seed).head
        agreements_of_splits.append(_agreement(predict(refitted, fit_to.at(is_out)), fit_to.shares[is_out]))
        drawn.append(rows)
    fields = {
        "format": HEAD_FORMAT,
        **metric.provenance(),
        "base_positive": metric.prompts[0].positive,
        "base_negative": metric.prompts[0].negative,
        "fit_on": fit_on,
        "data_set": table.name,
        "rated_photos": train["path"].nunique(),  # several people may have rated one
        "seed": seed,
        "score_range": table.score_range if own_scale else (0.0, 1.0),
        "lower_better": own_scale and table.lower_better,
        "method": best.method,
        "trained_on": written_digests(train["path"], table.hashes),
    }
    tensors = {name: torch.from_numpy(value).float() for name, value in best.head.items()}
    head = OpinionHead({**tensors, "direction": direction}, as_texts(fields))
    return FitResult(
        head, table, best.agreements, held_out, before, judgement, tuple(agreements_of_splits), tuple(drawn)
    )


class _Fit(NamedTuple):
    """The chosen method's fit to all photos, and each method's cross-validation.

    Attributes:
        predicted: The chosen method's predictions of each photo, by a head that was fitted to other groups.
        folds: The number of such heads.
    """

    method: str
    head: Fitted
    agreements: dict[str, FitAgreement]
    predicted: Array
    folds: int


def _fit(method: str, photos: RatedPhotos, groups: NDArray[np.int64], seed: int) -> _Fit:
    names = list(FITS) if method == "auto" else [method]
    numbers, predicted = np.unique(groups), pandas.DataFrame(index=range(len(groups)), columns=names, dtype=float)
    order = np.random.default_rng(seed).permutation(numbers)
    folds = min(FOLDS, len(numbers))
    for fold, name in itertools.product(np.array_split(order, folds), names):
        is_out = np.isin(groups, fold)
        predicted.loc[is_out, name] = predict(FITS[name](photos.at(~is_out)), photos.at(is_out))
    agreements = {name: _agreement(predicted[name].to_numpy(), photos.shares) for name in names}
    squares = (predicted.sub(photos.shares, axis=0) ** 2).groupby(groups).mean()
    gain = squares[names[0]] - squares[names[-1]]
    # ridge must be better by more than a standard error of the groups' mean squared errors
    best = names[-1] if gain.mean() > gain.sem() else names[0]
    return _Fit(best, FITS[best](photos), agreements, predicted[best].to_numpy(), folds)


def _judge(table: ScoreTable, parts: Mapping[str, RatedPhotos], best: _Fit, seed: int) -> Judgement:
    """Return the judgement on the test images, those of validation, or by cross-validation: the first that tells.

    Images that share a photo or a scene with those that were fitted do not count.
    """
    train = table.part("train")
    for split, on in (("test", "test image"), ("val", "validation image")):
        images = table.part(split)
        is_new = ~images["group"].isin(train["group"]).to_numpy()
        photos = parts[split].at(is_new)
        judgement = judge(photos.zero_shot, predict(best.head, photos), images[is_new], on, seed)
        if judgement.verdict != "unknown":
            return judgement
    photos = parts["train"]
    if best.method == "affine" and best.head["prior"][0] > 0:
        # the order of all images is the same, but predictions by several heads are not on one scale
        return judge(photos.zero_shot, photos.zero_shot, train, "rated photo", seed)
    on = f"rated photo, each predicted by a head that was fitted to others ({best.folds} folds)"
    return judge(photos.zero_shot, best.predicted, train, on, seed)


def _tries(asked: str, best: _Fit, fit_on: str) -> str:
    """Return what to try where a head gained nothing."""
    tries = ["more rated photos"]
    if asked == "affine":
        tries.append("method=ridge")
    if fit_on == "features":
        tries.append("fit_on=stages")
    keeps_order = best.method == "affine" and best.head["prior"][0] > 0
    return ", or ".join(tries) + (" (affine changes the scale, never the order of photos)" if keeps_order else "")


def _agreement(predicted: Array, shares: Array) -> FitAgreement:
    rmse = float(np.sqrt(np.mean((predicted - shares) ** 2)))
    return FitAgreement(srocc(predicted, shares), plcc(predicted, shares), rmse)
