"""How well heads follow people by the number of rated photos: a Markdown table of methods x photos, on photos held out.

    python tests/measure/few_shot.py scores.csv --root images --backbone mini
    python tests/measure/few_shot.py koniq10k --data-root datasets      # RN50, OpenAI's weights

Each head is fitted to photos drawn at random from the split 'train', with as many seeds as asked, and its scores are
compared with those of people on the split 'val': mean SROCC over the seeds and their standard deviation.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.datasets.score_table import ScoreTable, find_score_table
from clipiqa_pyiqa.learning.fitting import FIT_ON, NEEDED, fit
from clipiqa_pyiqa.learning.training import train
from clipiqa_pyiqa.stats.correlation import srocc


def subset(table: ScoreTable, count: int, seed: int) -> ScoreTable:
    """As many training images, drawn by a seed, and all images to validate on."""
    drawn = np.random.default_rng(seed).permutation(table.rows("train"))[:count].tolist()
    rows = [*sorted(drawn), *table.rows("val")]
    parts = {name: tuple(getattr(table, name)[row] for row in rows) for name in ("paths", "targets", "splits")}
    return dataclasses.replace(table, **parts)


def zero_shot(metric: CLIPIQA, table: ScoreTable, store: str | None) -> float:
    """SROCC of the metric as it is, on the split 'val'."""
    from clipiqa_pyiqa.learning.feature_store import FeatureStore

    rows = table.rows("val")
    features = FeatureStore(metric, store).features([table.paths[row] for row in rows])[:, 0]
    with torch.no_grad():
        return srocc(metric.score(features)[:, 0].numpy(), [table.targets[row] for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("scores", help="a CSV file with a column 'split', or a data set of pyiqa's")
    add("--root")
    add("--data-root", default="datasets")
    add("--backbone", default="RN50")
    add("--clip-weights")
    add("--features", help="folder of the feature store")
    add("--counts", type=int, nargs="+", default=[16, 50, 200, 1000, 4000])
    add("--methods", nargs="+", default=list(NEEDED), choices=list(NEEDED))
    add("--seeds", type=int, default=5)
    add("--prompts-up-to", type=int, default=0, metavar="N", help="also learn prompts on as many photos (slow)")
    args = parser.parse_args()
    table = find_score_table(args.scores, data_root=args.data_root, root=args.root)
    metric = CLIPIQA(backbone=args.backbone, clip_weights=args.clip_weights).eval()
    print(f"{table.name}: {len(table.rows('train'))} photos to draw from, {len(table.rows('val'))} to compare on")
    print(f"{args.backbone}, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"zero-shot: {zero_shot(metric, table, args.features):.3f}")
    print(f"\n| method | {' | '.join(f'{count:,}' for count in args.counts)} | seconds to fit, largest |")
    print("|---" * (len(args.counts) + 2) + "|")
    options = {"metric": metric, "features": args.features, "device": "cpu"}
    for fit_on in FIT_ON:
        for method in args.methods:
            cells, seconds = [], 0.0
            for count in args.counts:
                found = []
                for seed in range(args.seeds):
                    part, start = subset(table, count, seed), time.perf_counter()
                    result = fit(part, method=method, fit_on=fit_on, seed=seed, **options)
                    seconds = time.perf_counter() - start
                    found.append(result.held_out["val"].srocc)
                cells.append(f"{statistics.mean(found):.3f} ± {statistics.stdev(found):.3f}")
            print(f"| {method}, {fit_on} | {' | '.join(cells)} | {seconds:.1f} |", flush=True)
    cells = []
    for count in [count for count in args.counts if count <= args.prompts_up_to]:
        found = []
        for seed in range(args.seeds):
            with tempfile.TemporaryDirectory() as folder:
                start, network = time.perf_counter(), {"backbone": args.backbone, "clip_weights": args.clip_weights}
                out = Path(folder, "run")
                result = train(
                    subset(table, count, seed), out, seed=seed, device="cpu", features=args.features, **network
                )
                seconds = time.perf_counter() - start
                found.append(result.scores["val"]["srocc"])
        cells.append(f"{statistics.mean(found):.3f} ± {statistics.stdev(found):.3f}")
    if cells:
        print(f"| learned prompts, best epoch by these very photos | {' | '.join(cells)} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
