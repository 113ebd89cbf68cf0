"""What it would cost in agreement with people to see a kind of damage that `mini` hardly sees.

    python price_damage.py FILE --photos HELD_OUT --rated BIQ2021

Runs after train_mini.py and judge_damage.py, on what they left in `--work`. For each kind, one more linear function of
the statistics is taken from the logit of quality: the ridge question that tells this damage from what harms nothing.
Printed is the share of photos whose score falls, and with the function SROCC on `val`: of the functions with at least
0.9 the one that agrees best, else the one with the highest share. At the end, the sum of the functions is tried.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from mini import classic, evaluation, patterns
from mini.collect import chunks
from mini.damage import KINDS
from mini.data import Rated
from mini.judging import FORMS, PLACES, Judged, logit
from mini.model import Mini
from mini.readout import Coordinates, moves
from scipy.stats import spearmanr
from torch import Tensor

# What is learned from, and what is judged.
KINDS_OF = {
    "brightening": (["brighten"], ["brighten"]), "a mixed place": (["mixed"], ["mixed"]),
    "halos": (["halos"], ["halos", "box halos"]), "warps": (["warp"], ["warp"]),
    "colours that run": (["color diffusion"], ["color diffusion"]), "displaced tiles": (["seam lines"], ["seam lines"]),
    "reflections": (["ghost"], ["echoes"]), "darkening": (["darken"], ["darken"]),
    "rough glass": (["shuffled"], ["shuffled, glass"]), "slow waves": (["sine", "waves"], ["sine", "triangle waves"]),
    "a coarse place": (["coarse"], ["coarse"]), "tiles in a cross": (["seams"], ["seams in a cross"]),
}  # fmt: skip
# Of the function: what photos' own differences weigh in it, and its deviation over photos.
SPREADS, STRENGTHS = (0.02, 0.1, 0.5, 2.0), (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.07, 0.1)


def shares(values: dict[str, Tensor]) -> dict[str, float]:
    """The share of photos whose logit falls, of every kind."""
    whole = values["whole"][:, None]
    found = {kind: values["classic"][:, i, 2:] < whole for i, kind in enumerate(classic.KINDS)}
    found |= {kind: values["pattern"][:, i] < whole for i, kind in enumerate(FORMS)}
    found |= {kind: values["place"][:, i] < whole[:, 0] for i, kind in enumerate(PLACES)}
    return {kind: falls.float().mean().item() for kind, falls in found.items() if kind not in classic.UNORDERED}


def changes_of(data: dict[str, Tensor], name: str) -> Tensor:
    """(N, P): what a kind of chains (levels 3 to 5) or of places does to coordinates."""
    if name in KINDS:
        rows = data["chain"][data["kind"] == KINDS.index(name)]
        return (rows[:, 3:] - rows[:, :1]).flatten(0, 1)
    place = data["place"]
    return (place[:, 1:] - place[:, :1])[data["place kind"] == list(patterns.PLACES).index(name)]


def square(x: Tensor) -> Tensor:
    """(P, P): the mean square of rows."""
    return x.T @ x / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the .safetensors file")
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photos, held out")
    parser.add_argument("--rated", type=Path, required=True, help="BIQ2021: its `val`")
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    args = parser.parse_args()
    rated = Rated.read(args.rated, "val")
    judged = Judged.of(args.photos, rated)
    paths = chunks("judged_damage", len(judged.photos), judged.rows, args.work, 1)
    statistics = evaluation.Statistics(args.work / "judged")
    data = torch.load(args.work / "damage.pt", mmap=True, weights_only=True)
    model = Mini(args.file)
    to = Coordinates(model, data["matrix"])
    files = [np.load(path) for path in paths]
    rows = {name: np.concatenate([file[name] for file in files]) for name in ("whole", "classic", "pattern", "place")}
    rows["val"] = np.concatenate([statistics(rated.photo(i)).numpy() for i in range(len(rated.names))])
    now = {name: torch.from_numpy(logit(model, stats)) for name, stats in rows.items()}
    x = {name: to(stats)[0] for name, stats in rows.items()}
    unmoved, of_photos = square(moves(data, ("still", "same"))), square(data["real"] - data["real"].mean(0))
    before, together = shares(now), torch.zeros(len(unmoved))

    def tried(asked: Tensor, strength: float) -> tuple[dict[str, float], float]:
        after = {name: now[name] - strength * (x[name] @ asked) for name in now}
        return shares(after), float(spearmanr(after["val"], rated.mos).statistic)

    for kind, (learned, judged_kinds) in KINDS_OF.items():
        change, found = torch.cat([changes_of(data, name) for name in learned]), []
        for spread in SPREADS:
            matrix = square(change) + unmoved + spread * of_photos
            matrix = matrix + 0.03 * matrix.diagonal().mean() * torch.eye(len(matrix))
            asked = torch.linalg.solve(matrix, change.mean(0))
            asked = asked / (asked @ of_photos @ asked).sqrt()
            together += asked if spread == SPREADS[0] else 0
            for strength in STRENGTHS:
                falls, agreement = tried(asked, strength)
                found.append((min(falls[one] for one in judged_kinds), agreement))
        enough = [one for one in found if one[0] >= 0.9]
        share, agreement = max(enough, key=lambda one: one[1]) if enough else max(found)
        print(f"{kind}: {', '.join(f'{before[one]:.3f}' for one in judged_kinds)}; then {share:.3f} at {agreement:.4f}")
    together = together / (together @ of_photos @ together).sqrt()
    print(f"below 0.9 now: {sum(share < 0.9 for share in before.values())} of {len(before)}")
    for strength in STRENGTHS:
        falls, agreement = tried(together, strength)
        print(f"below 0.9 with the sum: {sum(share < 0.9 for share in falls.values())} at {agreement:.4f}")


if __name__ == "__main__":
    main()
