"""Judge a `mini` file on photos and scores that it was not trained on.

    python evaluate_mini.py FILE --photos HELD_OUT --noise CC_NOISE --calibration FOLDER --work build/mini --output report
    python evaluate_mini.py FILE --rated BIQ2021 --work build/mini --output report        # val, once, at the end

Writes OUTPUT.json. Statistics of every image are kept in `--work`, so that another file of the same tower is judged in
seconds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from mini import evaluation
from mini.data import Rated
from mini.model import Mini
from mini.samples import find_photos, read_photo
from scipy.stats import pearsonr, spearmanr


def on_photos(model: Mini, folders: list[Path], sizes: list[int]) -> dict:
    """Attributes, quality, invariance, other words and local damage."""
    photos = {path.stem: read_photo(path) for path in find_photos(folders)}
    report: dict = {"photos": {}, "attributes": {}, "quality": {}}
    for size in sizes:
        group = evaluation.resized(photos, size)
        report["photos"][size] = len(group)
        report["attributes"][size] = evaluation.attributes(model, group)
        report["quality"][size] = evaluation.quality(model, group)
        if size == 512:
            report["invariance"] = evaluation.invariance(model, group)
            report["local"] = evaluation.local(model, group)
            report["paraphrases"] = evaluation.paraphrases(model, group)
    return report


def agreement(score: np.ndarray, rated: Rated) -> dict:
    """SROCC and PLCC with 95 % bootstrap intervals, over all and within each source; the raw score, no fit."""
    source, rng = rated.sources(), np.random.default_rng(0)

    def figures(rows: np.ndarray) -> list[float]:
        mos, mine, where = rated.mos[rows], score[rows], source[rows]
        within = [spearmanr(mine[where == one], mos[where == one]).statistic for one in np.unique(source)]
        return [spearmanr(mine, mos).statistic, pearsonr(mine, mos).statistic, *within, float(np.mean(within))]

    drawn = [figures(rng.integers(len(score), size=len(score))) for _ in range(1000)]
    low, high = np.nanpercentile(drawn, (2.5, 97.5), axis=0)
    names = ["SROCC", "PLCC", *(f"SROCC in {one}" for one in np.unique(source)), "SROCC within, mean"]
    found = zip(names, figures(np.arange(len(score))), low, high, strict=True)
    return {name: [round(float(v), 4) for v in values] for name, *values in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the .safetensors file")
    parser.add_argument("--photos", type=Path, nargs="+", help="folders of undistorted photos, held out")
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 512, 1024], help="long sides")
    parser.add_argument("--noise", type=Path, help="a folder with `clean` and `noisy`")
    parser.add_argument("--calibration", type=Path, help="a folder with `dist` and `ref`")
    parser.add_argument("--rated", type=Path, help="BIQ2021: its `val` is judged")
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--output", type=Path, default=Path("build/mini/report"), help="without suffix")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = Mini(args.file, evaluation.Statistics(args.work / "judged"))
    report: dict = {}
    if args.photos:
        report |= on_photos(model, args.photos, args.sizes)
    if args.noise:
        report["camera noise"] = evaluation.camera_noise(model, args.noise)
    if args.calibration:
        report["calibration"] = evaluation.calibration(model, args.calibration)
    if args.rated:
        rated = Rated.read(args.rated, "val")
        score = evaluation.opinions(model, rated)
        report["opinions"] = agreement(score, rated)
        report["scores"] = dict(zip(rated.names, score.round(5).tolist(), strict=True))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".json").write_text(json.dumps(report, indent=1))
    print(json.dumps({key: value for key, value in report.items() if key != "scores"}, indent=1))


if __name__ == "__main__":
    main()
