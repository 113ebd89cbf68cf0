"""Judge a `mini` file on photos that it was not trained on.

    python evaluate_mini.py FILE PHOTOS [PHOTOS ...] --only held-out-folder --output build/mini/report

Writes `report.json` (everything) and `report.md` (the tables of docs/mini.md).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from mini import evaluation
from mini.model import fold_batchnorm, load
from mini.samples import read_photos


def measure(path: Path, photos: evaluation.Photos, sizes: list[int], calibration: Path | None) -> dict:
    """Every figure that docs/mini.md reports."""
    model = fold_batchnorm(load(path))
    by_size = {size: evaluation.resized(photos, size) for size in sizes}
    by_size = {size: group for size, group in by_size.items() if group}
    if 512 not in by_size:
        raise SystemExit("no photo has a long side of 512 pixels or more: give larger photos, and 512 among --sizes")
    report: dict = {"file": path.name, "photos": {size: len(group) for size, group in by_size.items()}}
    report["names"] = sorted(photos)
    report["speed 1024x768 (s)"] = evaluation.speed(model)
    report["attributes"] = {size: evaluation.attributes(model, group) for size, group in by_size.items()}
    report["quality"] = {size: evaluation.quality(model, group) for size, group in by_size.items()}
    report["invariance"] = evaluation.invariance(model, by_size[512])
    report["paraphrases"] = evaluation.paraphrases(model, by_size[512])
    if calibration is not None:
        report["calibration"] = evaluation.calibration(model, calibration)
    return report


def markdown(report: dict) -> str:
    """The report as tables."""
    sizes, by_size = list(report["attributes"]), report["attributes"]
    lines = [f"Photos: {', '.join(f'{count} at {size} px' for size, count in report['photos'].items())}.", ""]
    rows = []
    for change in by_size[sizes[0]]:
        found = [by_size[size].get(change) for size in sizes]
        rows.append([change, *(f"{row['mean']:.3f} ({row['min']:.2f})" if row else "-" for row in found)])
    lines += _table(["change, mean (min) Spearman", *(f"{size} px" for size in sizes)], rows)
    for size, found in report["quality"].items():
        head = [f"quality at {size} px", "pairs", "photo wins", "mild pairs", "photo wins", "SROCC with grade"]
        rows = [
            [
                kind,
                row["pairs"],
                f"{row['won']:.1%}",
                row["mild pairs"],
                f"{row['mild won']:.1%}",
                f"{row['srocc']:.3f}",
            ]
            for kind, row in found["kinds"].items()
        ]
        lines += _table(head, rows)
    moves = list(report["invariance"]["untouched"])
    lines += _table(
        ["quality moves by, mean (max; share below 0.05)", *moves],
        [
            [state, *(f"{row[m]['mean']:.3f} ({row[m]['max']:.2f}; {row[m]['below 0.05']:.0%})" for m in moves)]
            for state, row in report["invariance"].items()
        ],
    )
    lines += _table(["other words (change)", "mean Spearman"],
                    [[words, f"{value:.3f}"] for words, value in report["paraphrases"].items()])  # fmt: skip
    if "calibration" in report:
        lines += _table(["calibration image", "distorted", "reference"],
                        [[name, f"{row['distorted']:.3f}", f"{row['reference']:.3f}"]
                         for name, row in report["calibration"].items()])  # fmt: skip
    lines.append(f"One 1024 x 768 image: {report['speed 1024x768 (s)']:.3f} s.")
    return "\n".join(lines) + "\n"


def _table(head: list, rows: list[list]) -> list[str]:
    cells = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(map(str, row)) + " |" for row in cells), ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the .safetensors file")
    parser.add_argument("photos", type=Path, nargs="+", help="folders of photos, searched recursively")
    parser.add_argument("--only", nargs="*", default=[], help="take only photos whose path contains one of these")
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 512, 1024], help="long sides; 512 must be one")
    parser.add_argument("--calibration", type=Path, help="a folder with `dist` and `ref`")
    parser.add_argument("--output", type=Path, default=Path("build/mini/report"), help="without suffix")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    photos = read_photos(args.photos, max_side=1600)
    if args.only:
        photos = {name: photo for name, photo in photos.items() if any(word in name for word in args.only)}
    report = measure(args.file, photos, args.sizes, args.calibration)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".json").write_text(json.dumps(report, indent=1))
    args.output.with_suffix(".md").write_text(markdown(report))
    print(markdown(report))


if __name__ == "__main__":
    main()
