"""From statistics to the embedding: a basis, linear questions, and a small hidden layer over their answers."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .samples import VERSIONS, Q
from .text import Directions

SCALE = 100.0  # CLIP's own final logit scale


def with_logarithms(rows: np.ndarray) -> np.ndarray:
    """Means and deviations to means and logarithms of deviations, fp32: factors become differences."""
    rows = rows.astype(np.float32)
    half = rows.shape[1] // 2
    rows[:, half:] = np.log(rows[:, half:])
    return rows


class Basis:
    """Standardised statistics in the directions in which they vary most: 6,176 numbers to a few hundred.

    Training becomes minutes, and is held back from directions in which the training data hardly differ. The hidden
    layer's weights are multiplied out with it afterwards, so that the file needs no basis.
    """

    def __init__(self, mean: Tensor, scale: Tensor, matrix: Tensor) -> None:
        self.mean, self.scale, self.matrix = mean, scale, matrix

    @classmethod
    def fit(cls, rows: np.ndarray, size: int, power: float) -> Basis:
        """Principal directions, each divided by `power` of its deviation: 0 keeps the spread, 1 levels it."""
        values = torch.from_numpy(rows)
        mean, scale = values.mean(0), values.std(0) + 1e-2
        centred = (values - mean) / scale
        torch.manual_seed(0)
        _, singular, directions = torch.svd_lowrank(centred, q=size + 20, niter=2)
        matrix = directions[:, :size] / (singular[:size] / len(values) ** 0.5) ** power
        return cls(mean, scale, matrix / ((centred[:4000] @ matrix).square().mean() ** 0.5))

    def __call__(self, statistics: np.ndarray) -> np.ndarray:
        """(N, S) as collected -> (N, P)."""
        parts = np.array_split(statistics, max(1, len(statistics) // 2048))
        return np.concatenate([(self.standardised(part) @ self.matrix).numpy() for part in parts])

    def standardised(self, statistics: np.ndarray) -> Tensor:
        """(N, S) as collected -> (N, S), of which the coordinates are taken."""
        return (torch.from_numpy(with_logarithms(statistics)) - self.mean) / self.scale


class Head(nn.Module):
    """Linear answers (N, R) to unit embeddings (N, D), asked with the text tower's own pairs (axes, 2, D)."""

    rest: Tensor
    common: Tensor
    asked: Tensor
    questions: Tensor

    def __init__(self, answers: int, hidden: int, free: float, directions: Directions, texts: Tensor) -> None:
        super().__init__()
        self.hidden, self.axes = nn.Linear(answers, hidden), nn.Linear(hidden, len(texts))
        nn.init.normal_(self.hidden.weight, std=answers**-0.5)
        nn.init.normal_(self.axes.weight, std=hidden**-0.5)
        kept = min(hidden, len(directions.free))
        rest = torch.zeros(directions.free.shape[1], hidden)
        rest[:, :kept] = free * directions.free[:kept].T
        self.register_buffer("rest", rest)
        self.register_buffer("common", directions.common)
        self.register_buffer("asked", directions.asked)
        self.register_buffer("questions", SCALE * (texts[:, 0] - texts[:, 1]))

    def projection(self) -> tuple[Tensor, Tensor]:
        """Weight (D, hidden) and bias (D,) of the embedding."""
        asked = self.asked.T / SCALE
        return asked @ self.axes.weight + self.rest, asked @ self.axes.bias + self.common

    def forward(self, answers: Tensor) -> Tensor:
        weight, bias = self.projection()
        return F.normalize(F.linear(self.hidden(answers).relu(), weight, bias), dim=-1)

    def logits(self, answers: Tensor) -> Tensor:
        """(N, axes): the logit of each pair's score."""
        return self(answers) @ self.questions.T


def merged(heads: list[Head], free: float, directions: Directions, texts: Tensor) -> Head:
    """One head that answers with the mean of several: their hidden layers side by side."""
    one = Head(heads[0].hidden.in_features, sum(head.hidden.out_features for head in heads), free, directions, texts)
    with torch.no_grad():
        one.hidden.weight.copy_(torch.cat([head.hidden.weight for head in heads]))
        one.hidden.bias.copy_(torch.cat([head.hidden.bias for head in heads]))
        one.axes.weight.copy_(torch.cat([head.axes.weight for head in heads], 1) / len(heads))
        one.axes.bias.copy_(torch.stack([head.axes.bias for head in heads]).mean(0))
    return one.eval()


def plcc(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation."""
    return F.cosine_similarity(first - first.mean(), second - second.mean(), dim=0)


def opinion_loss(logit: Tensor, mos: Tensor, source: Tensor, weights: dict[str, float]) -> Tensor:
    """Human scores: their value, their correlation, and their correlation and order within each source."""
    score = logit.sigmoid()
    loss = weights["mse"] * F.mse_loss(score, mos) + weights["plcc"] * (1 - plcc(score, mos))
    for one in source.unique():
        mine = source == one
        if mine.sum() < 8:
            continue
        loss = loss + weights["within"] / 3 * (1 - plcc(logit[mine], torch.logit(mos[mine].clamp(0.02, 0.98))))
        wanted = mos[mine][:, None] - mos[mine][None]
        found = logit[mine][:, None] - logit[mine][None]
        sure = (wanted.abs() / mos[mine].std().clamp(min=0.02)).clamp(max=1.5)
        loss = loss + weights["rank"] / 3 * (F.softplus(-2 * found * wanted.sign()) * sure).mean()
    return loss


def graded_loss(logit: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Versions of one thing, (G, V, axes): differences from the first, order, and a little of the values."""
    both = weight[:, 1:] * weight[:, :1]
    found, wanted = logit[:, 1:] - logit[:, :1], target[:, 1:] - target[:, :1]
    difference = (F.smooth_l1_loss(found, wanted, reduction="none") * both).sum((0, 1)) / both.sum((0, 1)).clamp(min=1)
    gaps = target[:, :, None] - target[:, None]
    pairs = (gaps.abs() / 0.5).clamp(max=1) * weight[:, :, None] * weight[:, None]
    order = F.softplus(-2 * (logit[:, :, None] - logit[:, None]) * gaps.sign()) * pairs
    order = order.sum((0, 1, 2)) / pairs.sum((0, 1, 2)).clamp(min=1)
    value = (F.smooth_l1_loss(logit, target, reduction="none") * weight).sum((0, 1)) / weight.sum((0, 1)).clamp(min=1)
    share = torch.full_like(value, 0.3)
    share[Q] = 0.05  # what an untouched photo is worth is for people to say
    return (difference + order + share * value).mean()


def train_head(head: Head, data: dict[str, Tensor], config: dict, weights: dict[str, float], seed: int) -> None:
    """Adam over random batches of rated photos, groups, window pairs and moved photos.

    Args:
        head: what is trained.
        data: `real`, `mos`, `source`; `group` (G, V, R), `group target`, `group weight`; `window` (W, 2, R), likewise;
            `place` (L, 2, R), `place target`, `place weight`, an unchanged and a changed place of one photo;
            `moved` and `still` (M, R) rated; `twin` and `twin of` (T, R) of groups.
        config: steps, rate, batch and the like.
        weights: of the parts of the loss.
        seed: of the batches.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(name: str, count: int) -> Tensor:
        return torch.randint(len(data[name]), (count,), generator=generator)

    def blurred(x: Tensor) -> Tensor:
        return x + config["noise"] * torch.randn(x.shape, generator=generator)

    optimizer = torch.optim.AdamW(head.parameters(), lr=config["rate"], weight_decay=config["weight_decay"])
    steps, batch = config["steps"], config["batch"]
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = config["rate"] * min(1.0, (step + 1) / 50, 1.2 * (1 - step / steps))
        drawn = {"real": "real", "group": "groups", "window": "windows", "place": "windows", "moved": "moves",
                 "twin": "moves"}  # fmt: skip
        real, groups, windows, places, moves, twins = (draw(name, batch[size]) for name, size in drawn.items())
        count = data["real"].shape[1]
        inputs = [blurred(data["real"][real]), data["group"][groups].view(-1, count),
                  data["window"][windows].view(-1, count), data["place"][places].view(-1, count), data["moved"][moves],
                  data["still"][moves],
                  data["twin"][twins], data["twin of"][twins]]  # fmt: skip
        opinions, graded, local, apart, moved, still, twin, twin_of = head.logits(torch.cat(inputs)).split(
            [len(x) for x in inputs]
        )
        loss = opinion_loss(opinions[:, Q], data["mos"][real], data["source"][real], weights)
        loss = loss + weights["groups"] * graded_loss(
            graded.view(-1, VERSIONS, graded.shape[1]), data["group target"][groups], data["group weight"][groups]
        )
        loss = loss + weights["windows"] * graded_loss(
            local.view(-1, 2, local.shape[1]), data["window target"][windows], data["window weight"][windows]
        )
        loss = loss + weights["places"] * graded_loss(
            apart.view(-1, 2, apart.shape[1]), data["place target"][places], data["place weight"][places]
        )
        loss = loss + weights["moves"] * (moved[:, Q].sigmoid() - still[:, Q].sigmoid()).abs().mean()
        loss = loss + weights["twins"] * (twin.sigmoid() - twin_of.sigmoid()).abs().sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 2.0)
        optimizer.step()
        if (step + 1) % 250 == 0:
            print(f"head step {step + 1}  loss {loss.item():.4f}", flush=True)
