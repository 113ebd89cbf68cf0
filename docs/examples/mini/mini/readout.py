"""A second readout of `quality`, beside the first one: what people see in photos, and damage of every kind.

The first readout stays as it is for the other questions. For quality, three parts are added, each learned when those
before it are fixed:

1. people: a small network that kernel ridge regression on the rated photos has taught; it speaks also of points between
   photos. Quality is a mixture of the first readout and this one.
2. slope: one linear function of the statistics. It moves so that a little damage of any kind lowers the score, while
   scores of rated photos stay. A linear function does it for photos that were never seen; hidden units did not.
3. depth: hidden units that are 0 on photos, and far beyond them, and lower the score where damage is large, as in cells
   of a map.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .damage import KINDS
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

    def first(self, stats: np.ndarray) -> Tensor:
        """(N, S) -> (N, R): the first readout's answers."""
        visual = self.model.visual
        return F.linear(self.standardised(stats), visual["answers.weight"], visual["answers.bias"])

    def logit(self, answers: Tensor) -> Tensor:
        """What the first readout makes of them: quality's logits (N,)."""
        visual = self.model.visual
        hidden = F.linear(answers, visual["hidden.weight"], visual["hidden.bias"]).relu()
        return (F.normalize(F.linear(hidden, visual["proj.weight"], visual["proj.bias"]), dim=-1) @ self.question)[:, 0]

    @torch.no_grad()
    def __call__(self, stats: np.ndarray) -> tuple[Tensor, Tensor]:
        """(..., S) -> (..., P), and quality's logits (...,)."""
        flat, found, logits = stats.reshape(-1, stats.shape[-1]), [], []
        for part in np.array_split(flat, len(flat) // PIECE + 1):
            found.append(self.standardised(part) @ self.matrix)
            logits.append(self.logit(self.first(part)))
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


def gathered(
    model: Mini, paths: dict[str, list[Path]], source: np.ndarray, config: dict, seed: int
) -> dict[str, Tensor]:
    """All rows in coordinates, and the earlier readout's logits beside them.

    `paths` are chunks of `chain`, `place`, `same` and `real`; `source` (N,) is each rated photo's.
    """
    chain = loaded(paths["chain"], ("stats", "level", "kind", "still", "cells"))
    place = loaded(paths["place"], ("stats", "kind", "covered", "before", "beside"))
    same, real = loaded(paths["same"], ("stats", "photo")), loaded(paths["real"], ("stats",))["stats"]
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
    found["real first"] = to.first(real)
    numbers = {"level": chain["level"], "kind": chain["kind"], "place kind": place["kind"],
               "source": np.unique(source, return_inverse=True)[1]}  # fmt: skip
    found |= {name: torch.from_numpy(column) for name, column in numbers.items()}
    return found | {"level": found["level"].float(), "spread": found["real"].std(0)}


def teach(data: dict[str, Tensor], to: Coordinates, mos: Tensor, fold: Tensor, config: dict, seed: int) -> None:
    """Add what people would say, as far as kernel ridge regression knows.

    Adds `real said` (N,): of rated photos, by a regression that has not seen the photo's fold; `mix` (M, P), `mix
    logit` and `mix said` (M,), of points between two photos; `views` (V, P): the directions in which it changes most.
    """
    x = data["real"]
    mean, spread = x.mean(0), x.std(0)
    z = (x - mean) * spread
    size = z.square().sum(1).mean().sqrt()
    z, length = z / size, config["length"]

    def near(one: Tensor, other: Tensor) -> Tensor:
        return (-torch.cdist(one, other) / length).exp()

    kernel, own = near(z, z).double(), (mos - mos.mean()).double()
    ridge = config["ridge"] * torch.eye(len(z), dtype=torch.float64)
    data["real said"] = torch.zeros(len(z))
    for one in fold.unique():
        seen = fold != one
        found = torch.linalg.solve(kernel[seen][:, seen] + ridge[seen][:, seen], own[seen])
        data["real said"][~seen] = (kernel[~seen][:, seen] @ found).float()
    weight = torch.linalg.solve(kernel + ridge, own).float()
    generator = torch.Generator().manual_seed(seed)
    i, j = torch.randint(len(z), (2, config["mixed"]), generator=generator)
    share = torch.rand(config["mixed"], 1, generator=generator) / 2 + 0.25
    mixed = share * z[i] + (1 - share) * z[j]
    data["mix said"] = torch.cat([near(part, z) @ weight for part in mixed.split(PIECE)])
    few = mixed[:3000]
    pull = near(few, z) * weight / torch.cdist(few, z) / length
    slope = pull @ z - pull.sum(1, keepdim=True) * few
    data["views"] = torch.linalg.svd(slope, full_matrices=False)[2][: config["views"]] * spread / size
    first = share * data["real first"][i] + (1 - share) * data["real first"][j]
    data["mix"], data["mix logit"] = mixed * size / spread + mean, to.logit(first)
    for name in ("real said", "mix said"):
        data[name] += mos.mean()


class Part(nn.Module):
    """What one part says of coordinates (..., P): a hidden layer over answers that are 0 for the mean rated photo."""

    def __init__(self, asked: Tensor, real: Tensor, hidden: int, start: float) -> None:
        super().__init__()
        spread = (real @ asked.T).std(0)
        self.asked = nn.Parameter(asked / spread[:, None], requires_grad=False)
        self.mean = nn.Parameter(real.mean(0) @ self.asked.T, requires_grad=False)
        self.hidden, self.out = nn.Linear(len(asked), hidden), nn.Linear(hidden, 1)
        nn.init.normal_(self.hidden.weight, std=len(asked) ** -0.5)
        nn.init.normal_(self.out.weight, std=0.02 * hidden**-0.5)
        nn.init.constant_(self.out.bias, start)

    def answers(self, x: Tensor) -> Tensor:
        return x @ self.asked.T - self.mean

    def forward(self, answers: Tensor) -> Tensor:
        return self.out(self.hidden(answers).relu())[..., 0]


def rows_of(data: dict[str, Tensor]) -> list[str]:
    """The names of coordinates that have a logit."""
    return [name for name in data if f"{name} logit" in data]


def optimised(part: nn.Module, config: dict, loss: Callable[[], Tensor]) -> None:
    """Adam, with a rate that rises and falls."""
    optimizer = torch.optim.AdamW(
        [value for value in part.parameters() if value.requires_grad], config["rate"], weight_decay=config["decay"]
    )
    for step in range(config["steps"]):
        for group in optimizer.param_groups:
            group["lr"] = config["rate"] * min(1.0, (step + 1) / 50, 1.2 * (1 - step / config["steps"]))
        optimizer.zero_grad()
        loss().backward()
        nn.utils.clip_grad_norm_(part.parameters(), 2.0)
        optimizer.step()


def people(data: dict[str, Tensor], config: dict, seed: int) -> Part:
    """The part that says what people would, taught by `teach`; its value is a logit."""
    torch.manual_seed(seed)
    part, generator = Part(data["views"], data["real"], config["hidden"], 0.6), torch.Generator().manual_seed(seed)
    answers = {name: part.answers(data[name]) for name in ("real", "mix")}

    def loss() -> Tensor:
        found = torch.zeros(())
        for name, count, weight in (("real", 256, 0.5), ("mix", 768, 2.0)):
            rows = torch.randint(len(answers[name]), (count,), generator=generator)
            found = found + weight * F.mse_loss(part(answers[name][rows]).sigmoid(), data[f"{name} said"][rows])
        return found

    optimised(part, config, loss)
    return part


def steepest(data: dict[str, Tensor], config: dict) -> Tensor:
    """(P,): the linear function whose value, taken from the logit, makes damage of every kind lower the score."""
    chain, level, place, real = data["chain"], data["level"], data["place"], data["real"]
    weight, still = torch.zeros(chain.shape[-1], requires_grad=True), moves(data, ("still", "same"))
    kinds = torch.tensor([float(config["weight"].get(kind, 1)) for kind in KINDS])[data["kind"]]
    unmoved = still.T @ still / len(still)
    centred = real - real.mean(0)
    spread = centred.T @ centred / len(real)
    optimizer = torch.optim.LBFGS([weight], max_iter=config["steps"], history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        lost = chain @ weight
        order = ordered(data["chain logit"] - lost, level, config["margin"], config["sharp"])
        alone = ordered(-lost, level, 0.0, config["sharp"])
        found = data["place logit"] - place @ weight
        score = (data["real logit"] - real @ weight).sigmoid()
        total = 2 * (order * kinds).mean() + 0.3 * (alone * kinds).mean()
        total = total + 2 * below(found[:, 1:], found[:, :1], config["margin"], config["sharp"])
        total = total + config["real"] * agreement(score, data["real logit"].sigmoid(), data["source"])
        total = total + config["still"] * weight @ unmoved @ weight + config["spread"] * weight @ spread @ weight
        total.backward()
        return total

    optimizer.step(closure)
    return weight.detach()


def moves(data: dict[str, Tensor], names: tuple[str, ...]) -> Tensor:
    """(N, P): differences from the first of each group."""
    return torch.cat([(data[name][:, 1:] - data[name][:, :1]).flatten(0, -2) for name in names])


def ridge_questions(data: dict[str, Tensor], count: int, penalty: float) -> Tensor:
    """(count, P): see `first_answers`; each kind of chain, and each kind of place, for photos and for cells."""
    chain, place, changes = data["chain"], data["place"], []
    for kind in data["kind"].unique():
        mine = data["kind"] == kind
        changes.append((chain[mine, 3:] - chain[mine, :1]).flatten(0, -2))
    for kind in data["place kind"].unique():
        mine = data["place kind"] == kind
        changes += [(place[:, 1:] - place[:, :1])[mine], (data["covered"][mine] - data["before"][mine]).flatten(0, -2)]
    return first_answers(changes, moves(data, ("still", "same")), data["real"], count, penalty)


def ordered(logit: Tensor, level: Tensor, margin: float, sharp: float) -> Tensor:
    """(B, 6) logits and levels to a loss (B,): each level below the one before, by `margin` a level."""
    rise = level[:, None] - level[:, :, None]
    gap, wanted, pairs = logit[:, :, None] - logit[:, None], margin * rise, (rise > 0).float()
    pairs[:, 0] *= 1.0 + (level >= 2.4).float()  # below the untouched one above all
    return (F.softplus(sharp * (wanted - gap)) / sharp * pairs).sum((1, 2)) / pairs.sum((1, 2))


def below(lower: Tensor, higher: Tensor, margin: float, sharp: float = 3.0) -> Tensor:
    return (F.softplus(sharp * (margin - (higher - lower))) / sharp).mean()


def agreement(score: Tensor, wanted: Tensor, source: Tensor) -> Tensor:
    """How far scores are from those wanted: in value, in correlation over all, and within each source."""
    found = F.mse_loss(score, wanted)
    for one in (source >= 0, *(source == value for value in source.unique())):
        centred = [part[one] - part[one].mean() for part in (score, wanted)]
        found = found + 0.01 * (1 - F.cosine_similarity(*centred, dim=0))
    return found


def deep(data: dict[str, Tensor], asked: Tensor, config: dict, seed: int) -> Part:
    """The part that large damage takes from the logit; 0 on photos, and on what is up to twice as odd as they are."""
    torch.manual_seed(seed)
    part, generator = Part(asked, data["real"], config["hidden"], 0.0), torch.Generator().manual_seed(seed)
    answers, sharp = {name: part.answers(data[name]) for name in rows_of(data)}, config["sharp"]

    def drawn(name: str, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """What is left of the logit, the part's value, and the rows."""
        rows = torch.randint(len(answers[name]), (count,), generator=generator)
        lost = part(answers[name][rows])
        return data[f"{name} logit"][rows] - lost, lost, rows

    def loss() -> Tensor:
        left, lost, rows = drawn("chain", 256)
        level = data["level"][rows]
        found = ordered(left, level, config["margin"], sharp).mean() + ordered(-lost, level, 0.0, sharp).mean()
        found = found + 0.1 * ordered(left, level, 0.3, 4.0).mean()
        left, lost, rows = drawn("place", 128)
        found = found + below(left[:, 1:], left[:, :1], config["margin"], sharp)
        found = found + below(-lost[:, 1:], -lost[:, :1], 0.0, sharp)
        covered, beside, before = (
            data[f"{name} logit"][rows] - part(answers[name][rows]) for name in ("covered", "beside", "before")
        )
        cells = below(covered[..., :, None], beside[..., None, :], config["cell margin"])
        cells = cells + below(covered, before, config["cell margin"])
        left, _, _ = drawn("cells", 256)
        found = found + config["cells"] * (cells + below(left[:, 1], left[:, 0], 0.5))
        for name, weight in (("still", 6.0), ("same", 3.0)):
            both = drawn(name, 96)[0].sigmoid()
            found = found + weight * (both[:, 1:] - both[:, :1]).abs().mean()
        for name, count in (("real", 512), ("mix", 128), ("still", 128)):
            rows = torch.randint(len(answers[name]), (count,), generator=generator)
            x, logit = answers[name][rows], data[f"{name} logit"][rows]
            if name == "still":
                x, logit = x[:, 0], logit[:, 0]
            x = x * (1 + torch.rand(len(x), 1, generator=generator)) + 0.3 * torch.randn(x.shape, generator=generator)
            lost = part(x)
            found = found + config["real"] * F.mse_loss((logit - lost).sigmoid(), logit.sigmoid()) + lost.abs().mean()
        return found

    optimised(part, config, loss)
    return part


@torch.no_grad()
def changed(data: dict[str, Tensor], change: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Tensor]:
    """`data` with other logits: `change` gets logits and coordinates."""
    return data | {f"{name} logit": change(data[f"{name} logit"], data[name]) for name in rows_of(data)}


def exported(path: Path, earlier: Path, data: dict[str, Tensor], parts: tuple[Part, Tensor, Part], share: float,
             axis: Tensor, metadata: dict[str, str]) -> None:  # fmt: skip
    """Write the earlier file with the new answers and hidden units beside its own.

    Args:
        path: the new file.
        earlier: the file of the first readout.
        data: of which `matrix` (S, P) and `real` are used.
        parts: people's, the slope (P,), and the deep one.
        share: of people's part in quality; the first readout has the rest.
        axis: (D,) the feature's direction that `quality` asks for.
        metadata: more of it.
    """
    with safe_open(earlier, "pt") as file:
        about, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    said, slope, lost = parts
    line = Part(slope[None], data["real"], 1, 0.0)
    steep = (data["real"] @ slope).std()  # a linear part is two hidden units
    asked = torch.cat([part.asked for part in (said, line, lost)]).double() @ data["matrix"].double().T
    mean = torch.cat([part.mean for part in (said, line, lost)]).double()
    hidden = torch.block_diag(said.hidden.weight, torch.tensor([[1.0], [-1.0]]), lost.hidden.weight).detach().double()
    bias = torch.cat([said.hidden.bias, torch.zeros(2), lost.hidden.bias]).detach().double()
    out = torch.cat([share * said.out.weight[0], steep * torch.tensor([-1.0, 1.0]), -lost.out.weight[0]])
    constant = (share * said.out.bias - lost.out.bias).detach().double()
    size = asked.square().mean(1).sqrt() * 30  # fp16 is kept far from its limits, as in `export`
    hidden = hidden * size
    length = hidden.square().mean(1).sqrt()
    axis = axis.double()
    proj = torch.eye(len(axis), dtype=torch.float64) - share * axis[:, None] * axis  # less of the first readout
    old = {key: value.double() for key, value in tensors.items() if key.startswith("visual.") and value.ndim < 3}
    new = {
        "answers.weight": torch.cat([old["visual.answers.weight"], asked / size[:, None]]),
        "answers.bias": torch.cat([old["visual.answers.bias"], -mean / size]),
        "hidden.weight": torch.block_diag(old["visual.hidden.weight"], hidden / length[:, None]),
        "hidden.bias": torch.cat([old["visual.hidden.bias"], bias / length]),
        "proj.weight": torch.cat(
            [proj @ old["visual.proj.weight"], axis[:, None] / SCALE * (out.detach().double() * length)], 1
        ),
        "proj.bias": proj @ old["visual.proj.bias"] + axis / SCALE * constant,
    }
    tensors |= {f"visual.{name}": value.half() for name, value in new.items()}
    architecture = json.loads(about["architecture"])
    architecture |= {"answers": len(new["answers.bias"]), "hidden": len(new["hidden.bias"])}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path,
              metadata=about | {"architecture": json.dumps(architecture)} | metadata)  # fmt: skip
    path.chmod(0o644)
