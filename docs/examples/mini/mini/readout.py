"""What `quality` loses by damage: hidden units beside those of a trained readout, learned from chains and places.

The earlier readout stays as it is, also for the other questions. New linear answers about the statistics and new hidden
units lower quality's logit alone; rated photos hold the scores where people put them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .head import SCALE, with_logarithms
from .model import Mini

PIECE = 4096


def loaded(paths: list[Path], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Columns of all chunks."""
    files = [np.load(path) for path in paths]
    return {name: np.concatenate([file[name] for file in files]) for name in names}


class Coordinates:
    """Standardised statistics in some directions of their own, and the earlier readout's answer beside them."""

    def __init__(self, model: Mini, matrix: Tensor) -> None:
        self.model, self.matrix = model, matrix
        self.mean, self.scale = model.visual["statistics.mean"], model.visual["statistics.scale"]
        self.question = model.questions([("Good photo.", "Bad photo.")])

    def standardised(self, stats: np.ndarray) -> Tensor:
        return (torch.from_numpy(with_logarithms(stats)) - self.mean) / self.scale

    @torch.inference_mode()
    def __call__(self, stats: np.ndarray) -> tuple[Tensor, Tensor]:
        """(..., S) -> (..., P), and quality's logits (...,)."""
        flat, found, logits = stats.reshape(-1, stats.shape[-1]), [], []
        for part in np.array_split(flat, len(flat) // PIECE + 1):
            found.append(self.standardised(part) @ self.matrix)
            logits.append((self.model.embed(torch.from_numpy(part.astype(np.float32))) @ self.question)[:, 0])
        return torch.cat(found).reshape(*stats.shape[:-1], -1), torch.cat(logits).reshape(stats.shape[:-1])


def directions(model: Mini, values: list[np.ndarray], changes: list[np.ndarray], size: int, power: float) -> Tensor:
    """(S, size): the directions in which photos differ and in which damage moves them, with `power` of their deviation
    divided out. `changes` are pairs (N, 2, S)."""
    to = Coordinates(model, torch.empty(0))
    rows = torch.cat([to.standardised(part) for part in values])
    moves = torch.cat([to.standardised(part[:, 1]) - to.standardised(part[:, 0]) for part in changes])
    rows = rows - rows.mean(0)
    length = moves.square().mean(1, keepdim=True).sqrt()
    both = torch.cat([rows * (len(moves) / len(rows)) ** 0.5, moves / length.clamp(min=0.1)])
    torch.manual_seed(0)
    _, singular, found = torch.svd_lowrank(both, q=size + 20, niter=2)
    matrix = found[:, :size] / (singular[:size] / singular[0]) ** power
    return matrix / (rows @ matrix).square().mean().sqrt()


class Loss(nn.Module):
    """Coordinates (..., P) to what quality's logit loses (...,)."""

    def __init__(self, size: int, answers: int, hidden: int, start: Tensor) -> None:
        super().__init__()
        self.answers, self.hidden, self.out = nn.Linear(size, answers), nn.Linear(answers, hidden), nn.Linear(hidden, 1)
        with torch.no_grad():
            self.answers.weight.copy_(start)
            nn.init.normal_(self.hidden.weight, std=answers**-0.5)
            nn.init.normal_(self.out.weight, std=0.1 * hidden**-0.5)
            self.answers.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.hidden(self.answers(x)).relu())[..., 0]


def first_answers(changes: list[Tensor], still: Tensor, values: Tensor, count: int, penalty: float) -> Tensor:
    """(count, P): the main directions of ridge questions, one for each kind of change, that tell before from after.

    `changes` (N, P) of each kind, `still` (N, P): changes that harm nothing, `values` (N, P) of untouched photos.
    """
    values = values - values.mean(0)
    spread = values.T @ values / len(values)
    unmoved = still.T @ still / len(still)
    questions = []
    for change in changes:
        own = change.T @ change / len(change)
        matrix = own + unmoved + 0.02 * spread
        matrix = matrix + penalty * matrix.diagonal().mean() * torch.eye(len(own))
        question = torch.linalg.solve(matrix, change.mean(0))
        questions.append(question / (question @ spread @ question).sqrt())
    main = torch.linalg.svd(torch.stack(questions), full_matrices=False)[2][:count]
    return main / ((main @ spread) * main).sum(1, keepdim=True).sqrt()


def gathered(model: Mini, paths: dict[str, list[Path]], config: dict, seed: int) -> dict[str, Tensor]:
    """All rows in coordinates, and the earlier readout's logits beside them.

    `paths` are chunks of `chain`, `place`, `same` and `rated_photo` (`mini.damage`).
    """
    chain = loaded(paths["chain"], ("stats", "level", "kind", "still", "cells"))
    place = loaded(paths["place"], ("stats", "kind", "covered", "before", "beside"))
    same, real = loaded(paths["same"], ("stats", "photo")), loaded(paths["rated_photo"], ("stats",))["stats"]
    dice, size = np.random.default_rng(seed), chain["stats"].shape[-1]

    def some(rows: np.ndarray, count: int) -> np.ndarray:
        return rows[np.sort(dice.permutation(len(rows))[:count])]

    changes = [some(chain["stats"][:, [0, level]], 1500) for level in (2, 3, 4, 5)]
    changes += [some(place["stats"][:, [0, number]], 700) for number in (1, 2, 3, 4)]
    covered = np.stack([place["before"], place["covered"]], 3).reshape(-1, 2, size)
    changes += [some(covered, 3000), some(chain["cells"].transpose(0, 2, 1, 3).reshape(-1, 2, size), 2000)]
    values = [some(real, 2500), some(chain["stats"][:, 0], 600), some(place["beside"].reshape(-1, size), 1500)]
    matrix = directions(model, values, changes, config["size"], config["power"])
    to, found = Coordinates(model, matrix), {"matrix": matrix}
    rows = {
        "chain": chain["stats"], "cells": chain["cells"], "still": chain["still"], "place": place["stats"],
        "covered": place["covered"], "before": place["before"], "beside": place["beside"], "real": real,
        "same": np.concatenate([real[same["photo"]][:, None], same["stats"]], 1),
    }  # fmt: skip
    for name, stats in rows.items():
        found[name], found[f"{name} logit"] = to(stats)
    numbers = {"level": chain["level"], "kind": chain["kind"], "place kind": place["kind"]}
    found |= {name: torch.from_numpy(column) for name, column in numbers.items()}
    return found | {"level": found["level"].float(), "spread": found["real"].std(0)}


def begun(data: dict[str, Tensor], config: dict, seed: int) -> Loss:
    """Before training: answers that tell damage of every kind."""
    chain, place = data["chain"], data["place"]
    size = chain.shape[-1]

    def moved(rows: Tensor, before: Tensor) -> Tensor:
        return (rows - before).reshape(-1, size)

    changes = [
        moved(chain[mine, 3:], chain[mine, :1]) for kind in data["kind"].unique() for mine in [data["kind"] == kind]
    ]
    for kind in data["place kind"].unique():
        mine = data["place kind"] == kind
        changes += [(place[:, 1:] - place[:, :1])[mine], moved(data["covered"][mine], data["before"][mine])]
    still = torch.cat([moved(data[name][:, 1:], data[name][:, :1]) for name in ("still", "same")])
    first = first_answers(changes, still, data["real"], config["answers"], config["penalty"])
    torch.manual_seed(seed)
    return Loss(size, config["answers"], config["hidden"], first)


def ordered(logit: Tensor, level: Tensor, margin: float) -> Tensor:
    """(B, 6) logits and levels: each level below the one before, by `margin` a level."""
    wanted = margin * (level[:, None] - level[:, :, None])
    gap = logit[:, :, None] - logit[:, None]
    pairs = (wanted > 0).float()
    pairs[:, 0] *= 1.0 + 1.0 * (level >= 2.4).float()  # below the untouched one above all
    return (F.softplus(4 * (wanted - gap)) / 4 * pairs).sum((1, 2)) / pairs.sum((1, 2))


def below(lower: Tensor, higher: Tensor, margin: float) -> Tensor:
    return (F.softplus(2 * (margin - (higher - lower))) / 2).mean()


def train(loss_of: Loss, data: dict[str, Tensor], config: dict, seed: int) -> None:
    """Adam over random batches of chains, places, harmless changes and rated photos.

    Args:
        loss_of: what is trained.
        data: coordinates, and beside each (`NAME logit`) what the earlier readout says.
        config: steps, rate, batch sizes, margins and the weights of the parts.
        seed: of the batches.
    """
    generator, weights, batch = torch.Generator().manual_seed(seed), config["loss"], config["batch"]
    optimizer = torch.optim.AdamW(loss_of.parameters(), lr=config["rate"], weight_decay=config["weight_decay"])

    def drawn(name: str, count: int) -> Tensor:
        return torch.randint(len(data[name]), (count,), generator=generator)

    def logit(name: str, rows: Tensor) -> Tensor:
        x = data[name][rows]
        x = x + config["noise"] * data["spread"] * torch.randn(x.shape, generator=generator)
        return data[f"{name} logit"][rows] - loss_of(x)

    steps = config["steps"]
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = config["rate"] * min(1.0, (step + 1) / 50, 1.2 * (1 - step / steps))
        rows = drawn("chain", batch["chain"])
        chain = logit("chain", rows)
        parts = {"order": ordered(chain, data["level"][rows], config["margin"]).mean()}
        rows = drawn("place", batch["place"])
        place = logit("place", rows)
        parts["place"] = below(place[:, 1:], place[:, :1], config["place margin"])
        covered, beside, before = (logit(name, rows) for name in ("covered", "beside", "before"))
        parts["cells"] = below(covered[..., :, None], beside[..., None, :], config["cell margin"]) + below(
            covered, before, config["cell margin"]
        )
        rows = drawn("cells", batch["chain"])
        cells = logit("cells", rows)
        parts["chain cells"] = below(cells[:, 1], cells[:, 0], 0.5)
        for name in ("still", "same"):
            rows = drawn(name, batch[name])
            x = data[name][rows]
            both = (data[f"{name} logit"][rows] - loss_of(x)).sigmoid()
            parts[name] = (both[:, 1:] - both[:, :1]).abs().mean()
        rows = drawn("real", batch["real"])
        real, earlier = logit("real", rows).sigmoid(), data["real logit"][rows].sigmoid()
        parts["real"] = F.mse_loss(real, earlier) + 0.02 * (1 - F.cosine_similarity(
            real - real.mean(), earlier - earlier.mean(), dim=0))  # fmt: skip
        total = sum(weights[name] * part for name, part in parts.items())
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(loss_of.parameters(), 2.0)
        optimizer.step()
        if (step + 1) % 300 == 0:
            print(f"step {step + 1}:", {name: round(part.item(), 4) for name, part in parts.items()}, flush=True)


def exported(path: Path, earlier: Path, matrix: Tensor, loss_of: Loss, axis: Tensor, metadata: dict[str, str]) -> None:
    """Write the earlier file with the new answers and hidden units beside its own.

    Args:
        path: the new file.
        earlier: the file of the earlier readout.
        matrix: (S, P), from standardised statistics to coordinates.
        loss_of: what was trained.
        axis: (D,) the feature's direction that `quality` asks for.
        metadata: more of it.
    """
    with safe_open(earlier, "pt") as file:
        about, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    answers = loss_of.answers.weight.detach().double() @ matrix.double().T
    size = answers.square().mean(1).sqrt() * 30  # fp16 is kept far from its limits, as in `export`
    hidden = loss_of.hidden.weight.detach().double() * size
    length = hidden.square().mean(1).sqrt()
    lost = -axis.double()[:, None] / SCALE
    parts = {
        "answers.weight": (answers / size[:, None], 0),
        "answers.bias": (loss_of.answers.bias.detach().double() / size, 0),
        "hidden.bias": (loss_of.hidden.bias.detach().double() / length, 0),
        "proj.weight": (lost @ (loss_of.out.weight.detach().double() * length), 1),
    }
    old = len(tensors["visual.answers.bias"])
    tensors["visual.hidden.weight"] = torch.block_diag(
        tensors["visual.hidden.weight"].double(), hidden / length[:, None]
    ).half()
    for name, (tensor, dim) in parts.items():
        tensors[f"visual.{name}"] = torch.cat([tensors[f"visual.{name}"], tensor.half()], dim)
    bias = tensors["visual.proj.bias"].double() + (lost * loss_of.out.bias.detach().double())[:, 0]
    tensors["visual.proj.bias"] = bias.half()
    architecture = json.loads(about["architecture"])
    architecture |= {"answers": old + len(answers), "hidden": len(tensors["visual.hidden.bias"])}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path,
              metadata=about | {"architecture": json.dumps(architecture)} | metadata)  # fmt: skip
    path.chmod(0o644)
