"""Train the prompts of CLIP-IQA+ on people's scores; a run can be resumed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas
import torch
from torch import Tensor

from ..datasets.score_table import ScoreTable, find_score_table, look_for_mini_photos, written_digests
from ..errors import CLIPIQAError, FilePath, SharedOptions, checked, counted, import_pyiqa, log
from ..files.folders import check_folder
from ..files.locking import locked
from ..files.writing import write_bytes, write_text
from ..metric import CLIPIQA, find_device
from ..prompts.files import content_checksum, pickled, save_prompt_file
from ..prompts.pairs import Prompts
from ..stats.correlation import krcc, plcc, srocc
from ..stats.intervals import Array
from ..weights.checkpoint import load_pickled
from .feature_store import stored_features
from .judgement import Judgement, judge
from .recipe import Recipe, augmentations_of, draw_augmentation, seeded, with_options

BEST, LAST, STATE, LOG = "best.safetensors", "last.safetensors", "state.pt", "log.csv"
Agreement = dict[str, float]  # `srocc`, `plcc` and `krcc` of predicted against given scores


@dataclass(frozen=True)
class TrainingResult:
    """The metric with the best epoch's prompts, and agreements on ``'val'`` and ``'test'``; ``before``: untrained.

    Attributes:
        judgement: Whether the training gained anything, on the test images, or else on those of validation.
    """

    metric: CLIPIQA
    recipe: Recipe
    table: ScoreTable
    folder: Path
    scores: dict[str, Agreement]
    before: dict[str, Agreement]
    judgement: Judgement


@checked
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
    **changes: Any,
) -> TrainingResult:
    """Train the prompts of CLIP-IQA+ on people's scores (Sec. 3.3).

    Args:
        scores: A table, a CSV file, or a data set of pyiqa.
        out: Folder for ``best.safetensors``, ``last.safetensors``, the state to resume and ``log.csv``.
        recipe: ``'plain'``, ``'official'``, ``'pyiqa'``, or a recipe.
        without_mini_photos: Leave out ``mini``'s training photos if it is the backbone.
        features: Folder of image features; default ``~/.cache/clipiqa/features``.
        resume, overwrite: Continue, or replace, the run in ``out``.
        **changes: Changes of the recipe, see :func:`with_options`.
    """
    recipe = with_options(recipe, **changes)
    # check the data first: all later steps take time
    table = find_score_table(scores, seed=recipe.seed)
    names = () if resume else (STATE, LAST, BEST, LOG)
    folder = check_folder(out, names, overwrite=True)
    with locked(folder):
        for file in map(folder.joinpath, names):
            if file.exists() and not overwrite:
                raise CLIPIQAError(f"{str(file)!r} exists already: set `resume` to continue its run, or `overwrite`.")
            file.unlink(missing_ok=True)
        device = find_device(device)
        with torch.random.fork_rng([]):  # what the caller draws does not depend on the training
            torch.default_generator.manual_seed(recipe.seed)  # of a random context
            metric = CLIPIQA(**{"pretrained": False, **recipe.network, "model_type": "clipiqa+"}).to(device)
        table = look_for_mini_photos(table, metric.clip.weights.backbone, without_mini_photos, ("train", "val"))

        def rated(split: str) -> tuple[Tensor, Tensor]:
            part = table.part(split)
            views = [augmentations_of(recipe, row) for row in range(len(part))] if split == "train" else None
            encoded = stored_features(
                metric, features, part["path"], views, device=device, workers=workers, hashes=table.hashes
            )
            return encoded if views else encoded[:, 0].to(device), torch.tensor(part["target"].tolist())[:, None]

        parts = {split: rated(split) for split in ("train", "val", "test")}
        tested = {split: part for split, part in parts.items() if split != "train" and len(part[1]) > 1}
        first_scores = {split: predict(metric, part[0], metric.prompts) for split, part in tested.items()}
        before = {split: agreement(first_scores[split], part[1]) for split, part in tested.items()}
        learned_from = table.frame.query("split != 'test'")  # since validation chooses the epoch
        metadata = {
            "data_set": table.name,
            "score_range": table.score_range,
            "lower_better": table.lower_better,
            "trained_on": written_digests(learned_from["path"], table.hashes),
        }
        rows = *parts["train"], *parts["val"]
        after = {"val": train_context(metric, recipe, *rows, folder, metadata=metadata, resume=resume)}
        metric.load_prompts(folder / BEST)
        last_scores = {split: predict(metric, part[0]) for split, part in tested.items()}
        if "test" in tested:
            after["test"] = agreement(last_scores["test"], tested["test"][1])
        judgement = _judge(table, first_scores, last_scores, recipe.seed)
        judgement = judgement.advised(_TRIES, metric.clip.weights.backbone, _CONFIRM[judgement.on])
        return TrainingResult(metric.eval(), recipe, table, folder, after, before, judgement)


_TRIES = "more rated images, or a head of all features (clipiqa fit)"
_CONFIRM = {"test image": "", "validation image": "these chose the epoch, so confirm it on images with split test"}


def _judge(table: ScoreTable, before: Mapping[str, Array], after: Mapping[str, Array], seed: int) -> Judgement:
    """Return the judgement on the test images, or if these have no correlation, on those of validation.

    Images that share a photo or a scene with those that were learned from do not count.

    Args:
        before, after: Split -> scores of its images.
    """
    judgements = []
    for split, on, learned_from in (
        ("test", "test image", ("train", "val")),
        ("val", "validation image", ("train",)),
    ):
        if split in before:
            images = table.part(split)
            groups = table.frame["group"][table.frame["split"].isin(learned_from)]
            is_new = ~images["group"].isin(groups).to_numpy()
            judgements.append(judge(before[split][is_new], after[split][is_new], images[is_new], on, seed))
    return next((each for each in judgements if each.verdict != "unknown"), judgements[-1])


def train_context(
    metric: CLIPIQA,
    recipe: Recipe,
    features: Tensor,
    targets: Tensor,
    val_features: Tensor,
    val_targets: Tensor,
    folder: Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Agreement:
    """Train the metric's prompts in place; return the best epoch's agreement with the validation scores.

    Args:
        features: Features of augmented images ``(N, A, D)``; for validation ``(M, D)``.
        targets: Scores in [0, 1], ``(N, 1)`` and ``(M, 1)``.
    """
    learner = metric.prompt_learner
    assert learner is not None
    if len(targets) < recipe.batch_size:
        raise CLIPIQAError(
            f"{counted(len(targets), 'training image')} cannot fill a batch of {recipe.batch_size}: use a smaller "
            "batch_size."
        )
    targets, val_features = targets.float().to(learner.ctx.device), val_features.to(learner.ctx.device)
    losses = import_pyiqa(".losses")
    criteria = [losses.MSELoss(), losses.PLCCLoss()] if recipe.plcc_loss else [losses.MSELoss()]
    optimizer = (torch.optim.SGD if recipe.sgd else torch.optim.Adam)([learner.ctx], lr=recipe.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.cosine_epochs)  # type: ignore[arg-type]
    setup = {
        "pos_embedding": metric.pos_embedding,
        "precision": metric.precision,
        "recipe": asdict(replace(recipe, network={})),
    }
    given = {"ctx": learner.initial_ctx, "suffix": learner.token_suffix, "targets": targets, "val": val_features}
    tensors = {name: tensor.cpu() for name, tensor in given.items()}
    run = content_checksum(tensors, {**setup, "weights": metric.clip.weights.sha256})
    best, history = Agreement(), list[dict[str, float]]()
    if resume and (folder / STATE).is_file():
        state = load_pickled(folder / STATE)
        if not isinstance(state, dict) or state.get("run") != run:
            raise CLIPIQAError(
                f"{folder / STATE} was left by another run: use the images, scores, weights, recipe, epochs and seed "
                "of that run, or choose another folder."
            )
        if state["ctx"].shape != learner.ctx.shape:  # copying would broadcast it
            raise CLIPIQAError(f"{folder / STATE} is damaged: begin the training again in another folder.")
        with torch.no_grad():
            learner.ctx.copy_(state["ctx"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        best, history = state["best"], state["log"]
    for epoch in range(len(history) + 1, recipe.epochs + 1):
        generator = seeded(recipe.seed, "epoch", epoch - 1)
        order = torch.randperm(len(targets), generator=generator)
        steps = []
        for rows in order.unfold(0, recipe.batch_size, recipe.batch_size):  # whole batches only
            drawn = features[rows, [draw_augmentation(recipe, generator) for _ in rows]].to(targets.device)
            scores = metric.train().score(drawn, aggregate="mean")
            loss = torch.stack([criterion(scores, targets[rows]) for criterion in criteria]).sum()
            if not loss.isfinite():
                raise CLIPIQAError(f"the loss of epoch {epoch} is not finite: lower the learning rate.")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps.append(loss.item())
        scheduler.step()
        mean_loss, found = sum(steps) / len(steps), agreement(predict(metric, val_features), val_targets)
        is_best = math.isnan(best.get("srocc", math.nan)) or found["srocc"] > best["srocc"]
        best = found if is_best else best
        history.append({"epoch": epoch, "loss": mean_loss, **found})
        for name in (LAST, BEST) if is_best else (LAST,):
            save_prompt_file(learner, folder / name, {**setup, **(metadata or {}), "epoch": epoch, "scores": found})
        write_text(folder / LOG, pandas.DataFrame(history).to_csv(index=False, na_rep="nan", lineterminator="\n"))
        state = {
            "run": run,
            "best": best,
            "log": history,
            "ctx": learner.ctx.detach(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
        }
        write_bytes(folder / STATE, pickled(state))
        line = f"epoch {epoch}/{recipe.epochs}: loss {mean_loss:.5f}, validation {agreement_text(found)}"
        log.info(f"{line}  best so far" if is_best else line)
    return best


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
