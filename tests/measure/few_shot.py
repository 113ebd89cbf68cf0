"""How well ridge heads follow people by the number of rated photos: a Markdown table, on photos held out.

    python tests/measure/few_shot.py scores.csv --root images --backbone mini

Each head is fitted to photos drawn at random from the split 'train', with five seeds, and its scores are
compared with those of people on the split 'val': mean SROCC over the seeds and their standard deviation.
"""

import dataclasses
import statistics

import numpy as np
import torch
from timing import arguments, head, new_folder, row

from clipiqa_pyiqa import CLIPIQA, fit
from clipiqa_pyiqa.workbench.learning.stored_features import read_or_encode_features
from clipiqa_pyiqa.workbench.opinions.score_table import read_score_table
from clipiqa_pyiqa.workbench.stats.correlation import srocc

COUNTS, SEEDS = (16, 50, 200, 4000), 5


def subset(table, count, seed):
    """As many training images, drawn by a seed, and all images to validate on."""
    drawn = np.random.default_rng(seed).permutation(table.part("train").index)[:count]
    return dataclasses.replace(table, frame=table.frame.loc[[*sorted(drawn), *table.part("val").index]])


def main():
    args = arguments("scores", root=".", backbone="RN50")
    table = read_score_table(args.scores, root=args.root)
    metric = CLIPIQA(backbone=args.backbone).eval()
    held_out = table.part("val")
    print(f"{table.name}: {len(table.part('train'))} photos to draw from, {len(held_out)} to compare on")
    with new_folder() as store:
        features = read_or_encode_features(metric, store, held_out["path"].tolist())[:, 0]
        with torch.no_grad():
            print(f"zero-shot: {srocc(metric.score(features)[:, 0].numpy(), held_out['target']):.3f}\n")
        head("ridge on", *(f"{count:,}" for count in COUNTS))
        for fit_on in ("features", "stages"):
            cells = []
            options = {"method": "ridge", "fit_on": fit_on, "metric": metric, "features": store}
            for count in COUNTS:
                found = []
                for seed in range(SEEDS):
                    part = subset(table, count, seed)
                    found.append(fit(part, seed=seed, device="cpu", **options).held_out["val"].srocc)
                cells.append(f"{statistics.mean(found):.3f} ± {statistics.stdev(found):.3f}")
            row(fit_on, *cells)


if __name__ == "__main__":
    main()
