"""How well maps tell where a photo was damaged, and what they cost: a Markdown table.

    export PYTHONPATH=tests/helpers
    python tests/measure/local_maps.py PHOTOS                       # photos that mini was not trained on
    python tests/measure/local_maps.py PHOTOS --finer --limit 8     # a larger scale, and its cost

A part of each photo is changed, and each place of the smoothed map is told by its middle to be inside or outside of
that part: area under the ROC curve of the scores, inside below outside; mean over photos and parts, and the lowest
photo's mean. ``--finer`` changes squares instead, and compares pixels: all maps enlarged to the photo's size.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from distortions import area, blurred, jpeg, noisy
from PIL import Image, ImageEnhance

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.maps.places import quality_map, smoothed

Change = Callable[[Image.Image], Image.Image]


CHANGES = {
    "blur 1 px": ("sharpness", lambda photo: blurred(photo, 1)),
    "blur 3 px": ("sharpness", lambda photo: blurred(photo, 3)),
    "noise 20": ("noisiness", lambda photo: noisy(photo, 20)),
    "JPEG 10": ("quality", lambda photo: jpeg(photo, 10)),
    "brightness × 0.6": ("brightness", lambda photo: ImageEnhance.Brightness(photo).enhance(0.6)),
    "contrast × 0.4": ("contrast", lambda photo: ImageEnhance.Contrast(photo).enhance(0.4)),
}
SIDE = 512
PARTS = {  # left, top, right, bottom
    "left": (0, 0, 0.5, 1),
    "right": (0.5, 0, 1, 1),
    "top": (0, 0, 1, 0.5),
    "centre": (0.15, 0.15, 0.85, 0.85),
}


def tensor(photo):
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 255


def told(metric, photo, change, question):
    """Areas of the smoothed map, for each part."""
    found, changed, cell = [], change(photo), metric.clip.cell
    width, height = photo.size
    for left, top, right, bottom in PARTS.values():
        box = [round(left * width), round(top * height), round(right * width), round(bottom * height)]
        damaged = photo.copy()
        damaged.paste(changed.crop(box), box[:2])
        with torch.no_grad():
            scores = smoothed(metric.score_map(tensor(damaged), question))
        rows, columns = (np.arange(count) * cell + cell / 2 for count in scores.shape[2:])
        inside = np.outer((rows >= box[1]) & (rows < box[3]), (columns >= box[0]) & (columns < box[2])).ravel()
        flat = scores.flatten().numpy()
        found.append(area(flat[inside], flat[~inside]))
    return found


FINER = {
    "places, smoothed": {},
    "scale 2, smoothed": {"scale": 2},
}
FINER_CHANGES = [(name, side) for name in ("blur 3 px", "JPEG 10") for side in (128, 64)]


def finer(metric, photos):
    """A square in the photo is changed; area under the curve of pixels inside and outside, and the cost in scores."""
    print("| map | " + " | ".join(f"{name}, {side} px" for name, side in FINER_CHANGES) + " | cost |")
    print("|" + " --- |" * (len(FINER_CHANGES) + 2))
    for kind, options in FINER.items():
        areas = {key: [] for key in FINER_CHANGES}
        ratios = []
        for number, photo in enumerate(photos):
            dice = np.random.default_rng(number)
            for name, side in FINER_CHANGES:
                question, change = CHANGES[name]
                left, top = (int(dice.integers(0, length - side + 1)) for length in photo.size)
                damaged, inside = photo.copy(), np.zeros((photo.height, photo.width), bool)
                damaged.paste(change(photo).crop((left, top, left + side, top + side)), (left, top))
                inside[top : top + side, left : left + side] = True
                x = tensor(damaged)
                with torch.no_grad():
                    start = time.process_time()
                    scores = quality_map(metric, x, question, upsample=True, **options)[0, 0, ::4, ::4].numpy()
                    middle = time.process_time()
                    metric(x)
                    ratios.append((middle - start) / (time.process_time() - middle))
                chosen = inside[::4, ::4]
                areas[name, side].append(area(scores[chosen], scores[~chosen]))
        cells = [f"{np.mean(found):.3f}" for found in areas.values()]
        print(f"| {kind} | {' | '.join(cells)} | {statistics.median(ratios):.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--backbone", default="mini")
    parser.add_argument("--finer", action="store_true", help="only scale")
    parser.add_argument("--limit", type=int, help="only so many photos")
    args = parser.parse_args()
    metric = CLIPIQA(backbone=args.backbone).eval()
    photos = []
    for path in sorted(path for path in args.photos.iterdir() if path.suffix.lower() in (".jpg", ".png")):
        photo = Image.open(path).convert("RGB")
        if max(photo.size) >= SIDE:
            photo.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            photos.append(photo)
    photos = photos[: args.limit]
    print(f"\n{metric.clip.weights.backbone} {metric.clip.weights.short}, {len(photos)} photos of {SIDE} px\n")
    if args.finer:
        finer(metric, photos)
        return
    print("| change | asked | mean | lowest photo |\n|" + " --- |" * 4)
    for name, (question, change) in CHANGES.items():
        areas = np.array([told(metric, photo, change, question) for photo in photos])  # (photos, parts)
        print(f"| {name} | {question} | {areas.mean():.3f} | {areas.mean(1).min():.3f} |", flush=True)


if __name__ == "__main__":
    main()
