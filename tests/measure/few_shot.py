"""How well heads follow people by the number of rated photos: a Markdown table of methods x photos, on photos held out.

    python tests/measure/few_shot.py scores.csv --root images --backbone mini
    python tests/measure/few_shot.py koniq10k --data-root datasets      # RN50, OpenAI's weights

Each head is fitted to photos drawn at random from the split 'train', with five seeds, and its scores are
compared with those of people on the split 'val': mean SROCC over the seeds and their standard deviation.
"""

import argparse
import dataclasses
import statistics
import time

import numpy as np
import torch

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.datasets.score_table import find_score_table
from clipiqa_pyiqa.learning.fitting import FIT_ON, NEEDED, fit
from clipiqa_pyiqa.stats.correlation import srocc

COUNTS, SEEDS = (16, 50, 200, 1000, 4000), 5


def subset(table, count, seed):
    """As many training images, drawn by a seed, and all images to validate on."""
    drawn = np.random.default_rng(seed).permutation(table.part("train").index)[:count]
    return dataclasses.replace(table, frame=table.frame.loc[[*sorted(drawn), *table.part("val").index]])


def zero_shot(metric, table, store):
    """SROCC of the metric as it is, on the split 'val'."""
    from clipiqa_pyiqa.learning.feature_store import FeatureStore

    held_out = table.part("val")
    features = FeatureStore(metric, store).features(held_out["path"].tolist())[:, 0]
    with torch.no_grad():
        return srocc(metric.score(features)[:, 0].numpy(), held_out["target"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("scores", help="a CSV file with a column 'split', or a data set of pyiqa's")
    add("--root")
    add("--data-root", default="datasets")
    add("--backbone", default="RN50")
    add("--clip-weights")
    add("--features", help="folder of the feature store")
    args = parser.parse_args()
    table = find_score_table(args.scores, data_root=args.data_root, root=args.root)
    metric = CLIPIQA(backbone=args.backbone, clip_weights=args.clip_weights).eval()
    print(f"{table.name}: {len(table.part('train'))} photos to draw from, {len(table.part('val'))} to compare on")
    print(f"zero-shot: {zero_shot(metric, table, args.features):.3f}")
    print(f"\n| method | {' | '.join(f'{count:,}' for count in COUNTS)} | seconds to fit, largest |")
    print("|---" * (len(COUNTS) + 2) + "|")
    options = {"metric": metric, "features": args.features, "device": "cpu"}
    for fit_on in FIT_ON:
        for method in NEEDED:
            cells, seconds = [], 0.0
            for count in COUNTS:
                found = []
                for seed in range(SEEDS):
                    part, start = subset(table, count, seed), time.perf_counter()
                    result = fit(part, method=method, fit_on=fit_on, seed=seed, **options)
                    seconds = time.perf_counter() - start
                    found.append(result.held_out["val"].srocc)
                cells.append(f"{statistics.mean(found):.3f} ± {statistics.stdev(found):.3f}")
            print(f"| {method}, {fit_on} | {' | '.join(cells)} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
