"""Judge a `mini` file on photos and scores that it was not trained on.

    python evaluate_mini.py FILE --photos HELD_OUT --noise CC_NOISE --calibration FOLDER --output report
    python evaluate_mini.py FILE --rated BIQ2021 --output report        # val, once, at the end

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
from mini.collect import to_tensor
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

    if all(np.ptp(score[source == one]) == 0 for one in np.unique(source)):
        source = np.full(len(source), "all")  # the same for all of a source: nothing within

    drawn = [figures(rng.integers(len(score), size=len(score))) for _ in range(1000)]
    low, high = np.nanpercentile(drawn, (2.5, 97.5), axis=0)
    names = ["SROCC", "PLCC", *(f"SROCC in {one}" for one in np.unique(source)), "SROCC within, mean"]
    found = zip(names, figures(np.arange(len(score))), low, high, strict=True)
    return {name: [round(float(v), 4) for v in values] for name, *values in found}


def others(rated: Rated, given: list[str], work: Path) -> dict[str, np.ndarray]:
    """Scores of pyiqa's metrics, higher is better; `given` are names, or NAME=FILE with the metric's parameters."""
    import pyiqa
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    found = {}
    for one in given:
        name, _, file = one.partition("=")
        path = work / f"{name}.json"
        if not path.exists():
            options = {"pretrained_model_path": file} if file else {}
            metric = pyiqa.create_metric(name, device="cpu", **options)
            with torch.inference_mode():
                scores = {photo: float(metric(to_tensor(rated.photo(i)))) for i, photo in enumerate(rated.names)}
            path.write_text(json.dumps(scores))
        scores = json.loads(path.read_text())
        sign = -1 if DEFAULT_CONFIGS[name].get("lower_better") else 1
        found[name] = sign * np.array([scores[photo] for photo in rated.names])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the .safetensors file")
    parser.add_argument("--photos", type=Path, nargs="+", help="folders of undistorted photos, held out")
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 512, 1024], help="long sides")
    parser.add_argument("--noise", type=Path, help="a folder with `clean` and `noisy`")
    parser.add_argument("--calibration", type=Path, help="a folder with `dist` and `ref`")
    parser.add_argument("--rated", type=Path, help="BIQ2021: its `val` is judged")
    parser.add_argument("--others", nargs="*", default=[], help="metrics beside it, as piqe niqe=PARAMETERS")
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
        before = Rated.read(args.rated, "train")
        mean = {one: before.mos[before.sources() == one].mean() for one in np.unique(before.sources())}
        report["mean of its source"] = agreement(np.array([mean[one] for one in rated.sources()]), rated)
        for name, other in others(rated, args.others, args.work).items():
            report[name] = agreement(other, rated)
        report["scores"] = dict(zip(rated.names, score.round(5).tolist(), strict=True))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".json").write_text(json.dumps(report, indent=1))
    print(json.dumps({key: value for key, value in report.items() if key != "scores"}, indent=1))


if __name__ == "__main__":
    main()
