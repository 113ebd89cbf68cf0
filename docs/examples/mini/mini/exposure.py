"""Brightness, which a place of a photo is asked otherwise than a photo.

How light a photo is can be read off its statistics; that one part of it was darkened cannot, for a coat may be darker
than a shade. So two linear questions about all statistics, not only the basis's coordinates, tell places where a photo
was darkened or made brighter from other places of the same photo, whatever is to be seen there. Another one tells a
place from a photo, and a small head decides by it which of the answers counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .answers import answer
from .collect import Columns
from .data import folds_of, pairs_of_places
from .head import Basis, Head, graded_loss
from .samples import B
from .solve import Normal, Rows
from .text import Directions
from .words import AXES

Weights = np.ndarray
PIECE = 8192  # rows of all statistics held at once in fp32


def centred(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """What is left of the rows (N, …) without the mean of their group; a group's rows follow each other."""
    first = np.flatnonzero(np.append(True, np.diff(group) != 0))
    count = np.diff(np.append(first, len(group)))
    means = np.add.reduceat(values, first) / count.reshape(-1, *[1] * (values.ndim - 1))
    return values - means.repeat(count, 0).astype(values.dtype)


def loaded(paths: list[Path], fold: np.ndarray) -> Iterator[Columns]:
    """Chunks of places of partly changed photos, with the fold of each row."""
    for path in paths:
        rows = dict(np.load(path))
        yield rows | {"fold": folds_of(rows["photo"], rows["window"], fold)}


def part_question(paths: list[Path], made: dict, data: dict, basis: Basis, fold: np.ndarray, config: dict) -> Weights:
    """(folds + 1, S + 1): was this place of a photo made darker (or brighter) than the others?

    The same is wanted of a photo that was moved, and of a place before and after another change.
    """
    folds = int(fold.max()) + 1
    normal = Normal(len(basis.mean), folds)

    def still(after: np.ndarray, before: np.ndarray, fold: np.ndarray, share: float) -> None:
        x = (basis.standardised(after) - basis.standardised(before)).numpy()
        normal.add(Rows(x, np.zeros(len(x)), np.ones(len(x)), fold, 0.0, share))

    group, move, window = made["group"], made["move"], made["window"]
    still(move["stats"], made["real"]["stats"][move["photo"]], data["moved fold"], config["moves"])
    still(group["moved"], group["stats"][group["twin"]], data["group fold"], config["moves"])
    other = window["changed"] & ~data["window exposed"]
    still(window["stats"][other], window["before"][other], data["window fold"][other], config["others"])
    for rows in loaded(paths, fold):
        x = centred(basis.standardised(rows["stats"]).numpy(), rows["window"])
        target = centred(rows["changed"].astype(np.float32) * np.sign(rows["target"]), rows["window"])
        normal.add(Rows(x, target, np.ones(len(x)), rows["fold"], 0.0, 1 / len(paths)))
    penalty = np.full(len(basis.mean), config["penalty"])
    return np.array([normal.solve(penalty, without) for without in (*range(folds), None)])


def place_question(data: dict[str, np.ndarray], penalty: float) -> tuple[list[Rows], np.ndarray]:
    """(parts, penalty): is this a place (1) or a photo (-1)?"""
    parts = []
    for name, which, value in (("group", "group fold", -1.0), ("real", "fold", -1.0), ("window", "window fold", 1.0)):
        x = data[name][:, 0] if name == "window" else data[name].reshape(-1, data[name].shape[-1])
        fold = data[which].repeat(len(x) // len(data[which]))
        parts.append(Rows(x, np.full(len(x), value), np.ones(len(x)), fold, 1.0, 1.0 + (value > 0)))
    return parts, np.full(data["real"].shape[1], penalty)


def answer_all(stats: np.ndarray, fold: np.ndarray, weights: Weights, basis: Basis) -> np.ndarray:
    """(N, S) as collected -> (N, R): answers to questions about all statistics, (folds + 1, S + 1, R)."""
    pieces = range(0, len(stats), PIECE)
    found = [answer(basis.standardised(stats[i : i + PIECE]).numpy(), fold[i : i + PIECE], weights) for i in pieces]
    return np.concatenate(found)


def pairs(paths: list[Path], fold: np.ndarray, basis: Basis, few: Weights, all_: Weights, seed: int) -> Columns:
    """Places of partly changed photos by twos, an unchanged and a changed one.

    Columns: `answers` (L, 2, R) to the questions about coordinates (`few`) and about all statistics (`all_`);
    `target` (L, 2) and `fold` (L,).
    """
    rng, made = np.random.default_rng(seed), []
    for rows in loaded(paths, fold):
        found = np.concatenate([answer(basis(rows["stats"]), rows["fold"], few),
                                answer_all(rows["stats"], rows["fold"], all_, basis)], 1)  # fmt: skip
        two = pairs_of_places(rows["window"], rows["changed"], rng)
        made.append((found[two], rows["target"][two], rows["fold"][two[:, 0]]))
    return {
        name: np.concatenate(part)
        for name, part in zip(("answers", "target", "fold"), zip(*made, strict=True), strict=True)
    }


def train_brightness(head: Head, data: dict[str, Tensor], config: dict, seed: int) -> None:
    """Adam over random batches of groups, windows, pairs of places and moved photos, for brightness alone.

    Args:
        head: what is trained.
        data: as of `train_head`, of these answers; `part` (L, 2, R) and `part target` (L, 2).
        config: steps, rate, batch, and the weights of the parts of the loss.
        seed: of the batches.
    """
    generator, weights, batch = torch.Generator().manual_seed(seed), config["loss"], config["batch"]
    asked = torch.eye(len(AXES))[B]
    graded = {
        "group": (data["group"], data["group target"], data["group weight"] * asked),
        "window": (data["window"], data["window target"], data["window weight"] * asked),
        "part": (data["part"], data["part target"][..., None] * asked, asked.expand(*data["part"].shape[:2], -1)),
    }
    optimizer = torch.optim.AdamW(head.parameters(), lr=config["rate"], weight_decay=config["weight_decay"])
    for step in range(config["steps"]):
        for group in optimizer.param_groups:
            group["lr"] = config["rate"] * min(1.0, (step + 1) / 50, 1.2 * (1 - step / config["steps"]))
        loss = torch.zeros(())
        for name, (inputs, target, weight) in graded.items():
            rows = torch.randint(len(inputs), (batch[name],), generator=generator)
            logits = head.logits(inputs[rows].flatten(0, 1)).unflatten(0, inputs[rows].shape[:2])
            loss = loss + weights[name] * graded_loss(logits, target[rows], weight[rows])
        for after, before in (("twin", "twin of"), ("moved", "still")):
            rows = torch.randint(len(data[after]), (batch["moves"],), generator=generator)
            after_and_before = [head.logits(data[name][rows])[:, B].sigmoid() for name in (after, before)]
            loss = loss + weights["moves"] * (after_and_before[0] - after_and_before[1]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 2.0)
        optimizer.step()


def with_brightness(
    head: Head, own: Head, inputs: int, columns: list[int], free: float, directions: Directions, texts: Tensor
) -> Head:
    """One head: `own`, which sees some `columns` of all `inputs`, says how bright, `head`, of the first, all else."""
    known, hidden = head.hidden.in_features, head.hidden.out_features
    one = Head(inputs, hidden + own.hidden.out_features, free, directions, texts)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.zero_()
        one.hidden.weight[:hidden, :known] = head.hidden.weight
        one.hidden.weight[hidden:, columns] = own.hidden.weight
        one.hidden.bias.copy_(torch.cat([head.hidden.bias, own.hidden.bias]))
        one.axes.weight[:, :hidden], one.axes.bias[:] = head.axes.weight, head.axes.bias
        one.axes.weight[B, :hidden], one.axes.weight[B, hidden:] = 0.0, own.axes.weight[B]
        one.axes.bias[B] = own.axes.bias[B]
    return one.eval()
