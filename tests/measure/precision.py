"""How far bf16 and fp16 move scores and features from fp32, on a folder of photos; the figures of docs/performance.md.

python tests/measure/precision.py PHOTOS [--backbone mini | --clip-weights FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.images.formats import image_suffixes
from clipiqa_pyiqa.images.reader import read_image

PAIRS = ["quality", "brightness", "noisiness", "sharpness"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+", help="folders, searched recursively")
    parser.add_argument("--backbone", default="RN50")
    parser.add_argument("--clip-weights")
    args = parser.parse_args()
    paths = sorted(p for folder in args.photos for p in folder.rglob("*") if p.suffix.lower() in image_suffixes())
    options = {"backbone": args.backbone, "clip_weights": args.clip_weights}
    nets = {precision: CLIPIQA(**options, precision=precision).eval() for precision in ("fp32", "bf16", "fp16")}
    moved: dict[str, tuple[list, list]] = {"bf16": ([], []), "fp16": ([], [])}
    for path in paths:
        x = read_image(path).pixels[None].float() / 255
        with torch.inference_mode():
            features = {precision: net.encode_image(x) for precision, net in nets.items()}
            scores = {name: nets["fp32"].score(value, PAIRS, aggregate=None) for name, value in features.items()}
        for precision, (of_scores, of_features) in moved.items():
            of_scores.append((scores[precision] - scores["fp32"]).abs().flatten())
            of_features.append((features[precision] - features["fp32"]).norm(dim=-1))
    print(f"{len(paths)} photos, {args.backbone}, {', '.join(PAIRS)}")
    print("precision  score: largest   median  feature (L2): largest   median")
    for precision, (of_scores, of_features) in moved.items():
        score, feature = torch.cat(of_scores), torch.cat(of_features)
        print(f"{precision:9} {score.max():15.5f} {score.median():8.5f} {feature.max():22.5f} {feature.median():8.5f}")


if __name__ == "__main__":
    main()
