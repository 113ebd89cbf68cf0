"""How well maps tell where a photo was damaged, and what they cost: a Markdown table.

    python tests/measure/local_maps.py PHOTOS                       # photos that mini was not trained on
    python tests/measure/local_maps.py PHOTOS --finer --limit 8     # a larger scale, and its cost

A part of each photo is changed, and each place of the smoothed map is told by its middle to be inside or outside of
that part: area under the ROC curve of the scores, inside below outside; mean over photos and parts, and the lowest
photo's mean. ``--finer`` changes squares instead, and compares pixels: all maps enlarged to the photo's size.
"""

import time
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageEnhance
from timing import arguments, head, in_turns, photos, ratio, row  # which adds tests/helpers to the path

# isort: split
from photos import area, blurred, jpeg, noisy
from torchvision.transforms.functional import pil_to_tensor

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.workbench.maps.places import quality_map

CHANGES = {
    "blur 1 px": ("sharpness", lambda photo: blurred(photo, 1)),
    "blur 3 px": ("sharpness", lambda photo: blurred(photo, 3)),
    "noise 20": ("noisiness", lambda photo: noisy(photo, 20)),
    "JPEG 10": ("quality", lambda photo: jpeg(photo, 10)),
    "brightness × 0.6": ("brightness", lambda photo: ImageEnhance.Brightness(photo).enhance(0.6)),
    "contrast × 0.4": ("contrast", lambda photo: ImageEnhance.Contrast(photo).enhance(0.4)),
}
SIDE = 512
PARTS = ((0, 0, 0.5, 1), (0.5, 0, 1, 1), (0, 0, 1, 0.5), (0.15, 0.15, 0.85, 0.85))
"""Left, top, right and bottom of the left, right and upper half and of the centre."""
SQUARES, SQUARE = ("blur 3 px", "JPEG 10"), 64


def damaged(photo, name, box):
    """Return the pixels ``(1, 3, H, W)`` of a photo with a changed part."""
    changed = photo.copy()
    changed.paste(CHANGES[name][1](photo).crop(box), box[:2])
    return pil_to_tensor(changed)[None] / 255


def separated(scores, box, first, step):
    """Return how well scores, one every ``step`` px, tell inside and outside of a box."""
    left, top, right, bottom = box
    rows, columns = (first + step * np.arange(count) for count in scores.shape)
    inside = np.outer((rows >= top) & (rows < bottom), (columns >= left) & (columns < right))
    return area(scores[inside], scores[~inside])


def coarse(metric, opened):
    head("change", "asked", "mean", "lowest photo")
    for name, (question, _) in CHANGES.items():
        areas = []
        for photo in opened:
            for part in PARTS:
                box = [round(share * side) for share, side in zip(part, photo.size * 2, strict=True)]
                scores = quality_map(metric, damaged(photo, name, box), question)[0, 0].numpy()
                areas.append(separated(scores, box, metric.clip.cell / 2, metric.clip.cell))
        means = np.reshape(areas, (-1, len(PARTS))).mean(1)
        row(name, question, f"{means.mean():.3f}", f"{means.min():.3f}")


def finer(metric, opened):
    """A square in the photo is changed; area under the curve of pixels inside and outside, and the cost in scores."""
    head("map", *SQUARES, "cost", "range")
    for scale in (1, 2):
        draw = partial(quality_map, metric, upsample=True, scale=scale)
        areas = []
        for number, photo in enumerate(opened):
            dice = np.random.default_rng(number)
            for name in SQUARES:
                left, top = (int(dice.integers(0, length - SQUARE + 1)) for length in photo.size)
                box = left, top, left + SQUARE, top + SQUARE
                x = damaged(photo, name, box)
                areas.append(separated(draw(x, CHANGES[name][0])[0, 0, ::4, ::4].numpy(), box, 0, 4))
        taken = in_turns({"map": partial(draw, x, "quality"), "score": partial(metric, x)}, 5, time.process_time)
        cells = (f"{mean:.3f}" for mean in np.reshape(areas, (-1, len(SQUARES))).mean(0))
        row(f"scale {scale}, smoothed", *cells, ratio(taken["map"], taken["score"]))


def main():
    args = arguments("photos", finer=False, limit=1000)
    opened = []
    for path in photos(args.photos):
        photo = Image.open(path).convert("RGB")
        if max(photo.size) >= SIDE:
            photo.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            opened.append(photo)
    opened = opened[: args.limit]
    print(f"{len(opened)} photos of {SIDE} px\n")
    with torch.no_grad():
        (finer if args.finer else coarse)(CLIPIQA(backbone="mini").eval(), opened)


if __name__ == "__main__":
    main()
