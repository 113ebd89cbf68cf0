"""Draws mini_damage.jpg for docs/mini.md: every kind of damage, and the share of photos whose quality falls by it.

python docs/images/mini_damage.py BEFORE.json AFTER.json     # reports of docs/examples/mini/judge_damage.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import fill

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from clipiqa_pyiqa.workbench.experiments.demonstration import PHOTOS

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "docs/examples/mini"))
from mini import classic, patterns  # noqa: E402

SIDE, COLUMNS, LEVEL, SEED = 112, 10, 4, 5
EYE = 150, 60  # left and top of the cut


def cut(x: np.ndarray) -> np.ndarray:
    left, top = EYE
    return np.clip(x[top : top + SIDE, left : left + SIDE], 0, 1)


def pictures(photo: Image.Image, other: Image.Image) -> dict[str, dict[str, np.ndarray]]:
    """A cut of the photo with each kind of damage."""
    x, y = classic.pixels_of(photo), classic.pixels_of(other)
    left, top = EYE
    where = np.s_[top + 32 : top + 80, left + 32 : left + 80]
    dice = np.random.default_rng
    return {
        "classic": {kind: cut(classic.pixels_of(classic.damaged(photo, kind, LEVEL, dice(SEED))))
                    for kind in classic.ORDERED},
        "patterns": {kind: cut(patterns.pattern(x, kind, 1.0, dice(SEED)))
                     for kind in (*patterns.TRAINED, *patterns.JUDGED)},
        "places": {kind: cut(patterns.with_place(x, y, make, where, dice(SEED)))
                   for kind, make in (patterns.PLACES | patterns.JUDGED_PLACES).items()},
    }  # fmt: skip


def main() -> None:
    before, after = (json.loads(Path(path).read_text()) for path in sys.argv[1:3])
    names = {"classic": "falls at levels 3 to 5", "places": "falls"}
    made = [
        (kind, picture, *(report[part][kind][names[part]] if part in names else report[part][kind]
                          for report in (before, after)))
        for part, kinds in pictures(*(Image.open(PHOTOS / name) for name in ("oakland-zoo-otters.jpg",
                                                                             "roman-colosseum.jpg"))).items()
        for kind, picture in kinds.items()
    ]  # fmt: skip
    rows = -(-len(made) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(1.22 * COLUMNS, 1.52 * rows), layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for axis, (kind, picture, old, new) in zip(axes.flat, made, strict=False):
        axis.imshow(picture)
        color = "black" if new >= 0.9 else "firebrick"
        axis.set_title(f"{fill(kind, 20)}\n{old:.2f} → {new:.2f}", fontsize=6.2, color=color)
    figure.savefig(HERE / "mini_damage.jpg", dpi=105, pil_kwargs={"quality": 78, "optimize": True})


if __name__ == "__main__":
    main()
