"""How well maps tell where a photo was damaged, and what they cost: a Markdown table.

    python tests/measure/local_maps.py PHOTOS --backbone mini                       # photos it was not trained on
    python tests/measure/local_maps.py PHOTOS --backbone RN50 --cost 768x1024
    python tests/measure/local_maps.py PHOTOS --finer --limit 8                     # scale, and its cost

A part of each photo is changed, and each place of the map is told by its middle to be inside or outside of that part:
area under the ROC curve of the scores, inside below outside; mean over photos and parts, and the lowest photo's mean.
The last column asks no network: for brightness, the mean of the pixels of a place and its neighbours. Then how far maps
move under a flip. ``--finer`` changes squares instead, and compares pixels: all maps enlarged to the photo's size.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance, ImageFilter
from scipy.stats import rankdata

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.maps.places import quality_map, smoothed
from clipiqa_pyiqa.prompts.pairs import NAMED_PAIRS, known_names

Change = Callable[[Image.Image], Image.Image]


def blur(radius: float) -> Change:
    return lambda photo: photo.filter(ImageFilter.GaussianBlur(radius))


def noise(sigma: float) -> Change:
    def change(photo: Image.Image) -> Image.Image:
        grain = np.random.default_rng(0).normal(0, sigma, (photo.height, photo.width, 3))
        return Image.fromarray((np.asarray(photo) + grain).clip(0, 255).round().astype(np.uint8))

    return change


def jpeg(quality: int) -> Change:
    def change(photo: Image.Image) -> Image.Image:
        file = io.BytesIO()
        photo.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    return change


def brightness(factor: float) -> Change:
    return lambda photo: ImageEnhance.Brightness(photo).enhance(factor)


CHANGES: dict[str, tuple[str, Change]] = {
    **{f"blur {radius} px": ("sharpness", blur(radius)) for radius in (1, 2, 3, 4)},
    **{f"noise {sigma}": ("noisiness", noise(sigma)) for sigma in (10, 20)},
    **{f"JPEG {quality}": ("quality", jpeg(quality)) for quality in (10, 5)},
    **{f"brightness × {factor}": ("brightness", brightness(factor)) for factor in (0.6, 0.4)},
    "contrast × 0.4": ("contrast", lambda photo: ImageEnhance.Contrast(photo).enhance(0.4)),
}
PARTS: dict[str, tuple[float, float, float, float]] = {  # left, top, right, bottom
    "left": (0, 0, 0.5, 1),
    "right": (0.5, 0, 1, 1),
    "top": (0, 0, 1, 0.5),
    "centre": (0.15, 0.15, 0.85, 0.85),
}


def area(low: np.ndarray, high: np.ndarray) -> float:
    """Under the ROC curve: how often a number of ``high`` exceeds one of ``low``."""
    ranks = rankdata(np.concatenate([low, high]))[len(low) :]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(low) * len(high)))


def tensor(photo: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 255


def told(metric: CLIPIQA, photo: Image.Image, change: Change, question: str) -> list[tuple[float, ...]]:
    """Areas of the map as it is, smoothed, and of the pixels' means, for each part."""
    found, changed, cell = [], change(photo), metric.clip.cell
    width, height = photo.size
    for left, top, right, bottom in PARTS.values():
        box = [round(left * width), round(top * height), round(right * width), round(bottom * height)]
        damaged = photo.copy()
        damaged.paste(changed.crop(box), box[:2])
        x = tensor(damaged)
        with torch.no_grad():
            scores = metric.score_map(x, question)
        light = F.avg_pool2d(x.mean(1, keepdim=True), cell)[..., : scores.shape[2], : scores.shape[3]]
        rows, columns = (np.arange(count) * cell + cell / 2 for count in scores.shape[2:])
        inside = np.outer((rows >= box[1]) & (rows < box[3]), (columns >= box[0]) & (columns < box[2])).ravel()
        flat = [part.flatten().numpy() for part in (scores, smoothed(scores), smoothed(light))]
        found.append(tuple(area(part[inside], part[~inside]) for part in flat))
    return found


def cost(metric: CLIPIQA, size: tuple[int, int], rounds: int) -> None:
    """A map of every named pair that the CLIP knows beside the score of one pair."""
    x, names = torch.rand(1, 3, *size), known_names(metric.clip, NAMED_PAIRS)
    calls: dict[str, Callable[[], object]] = {
        "score of one pair": lambda: metric(x),
        f"maps of {len(names)} pairs": lambda: metric.score_map(x, names),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with torch.no_grad():
        for call in calls.values():
            call()
        for _ in range(rounds):
            for name, call in calls.items():
                start = time.process_time()
                call()
                seconds[name].append(time.process_time() - start)
    one = seconds["score of one pair"]
    ratios = {
        name: statistics.median(a / b for a, b in zip(taken, one, strict=True)) for name, taken in seconds.items()
    }
    said = [f"{name} {statistics.median(taken):.3f} ({ratios[name]:.2f})" for name, taken in seconds.items()]
    print(f"\n{size[0]}×{size[1]}, processor seconds (ratio), medians of {rounds} in turns: {', '.join(said)}")


FINER: dict[str, dict[str, Any]] = {
    "places": {"smooth": False},
    "places, mean of 3×3": {},
    "scale 2": {"scale": 2, "smooth": False},
    "scale 2, mean of 3×3": {"scale": 2},
}
FINER_CHANGES = [(name, side) for name in ("blur 3 px", "noise 20", "JPEG 10") for side in (128, 64)]


def finer(metric: CLIPIQA, photos: list[Image.Image]) -> None:
    """A square in the photo is changed; area under the curve of pixels inside and outside, and the cost in scores."""
    print("| map | " + " | ".join(f"{name}, {side} px" for name, side in FINER_CHANGES) + " | cost |")
    print("|" + " --- |" * (len(FINER_CHANGES) + 2))
    for kind, options in FINER.items():
        areas: dict[tuple[str, int], list[float]] = {key: [] for key in FINER_CHANGES}
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


def field(metric: CLIPIQA, photos: list[Image.Image]) -> None:
    """How far a place sees: at most, and how much of the gradient of its score lies near it."""
    cell = metric.clip.cell
    x = torch.rand(1, 3, 64, 48 * cell, dtype=torch.float64).requires_grad_()
    places = metric.encode_map(x)[..., 24]
    (slope,) = torch.autograd.grad((places * torch.randn_like(places)).sum(), x)
    columns = slope.abs().amax((0, 1, 2)).nonzero().flatten()
    print(f"\nA place sees {columns[-1] - columns[0] + 1} px at most.")
    shares = []
    for photo in photos:
        x = tensor(photo).requires_grad_()
        scores = metric.score_map(x, "quality").logit(1e-6)
        row, column = scores.shape[2] // 2, scores.shape[3] // 2
        (slope,) = torch.autograd.grad(scores[0, 0, row, column], x)
        weight = slope.abs().sum((0, 1))
        sides = [[slice(max(0, (at - n) * cell), (at + n + 1) * cell) for at in (row, column)] for n in range(4)]
        reach = [weight[rows, columns] for rows, columns in sides]
        shares.append([float(part.sum() / weight.sum()) for part in reach])
    said = ", ".join(f"{2 * n + 1}×{2 * n + 1} {share:.2f}" for n, share in enumerate(np.mean(shares, axis=0)))
    print(f"Share of the absolute gradient of the middle place's margin (quality) within so many places: {said}")


def flipped(metric: CLIPIQA, photos: list[Image.Image]) -> None:
    """How far maps move when their photo is flipped: at sizes that are whole places, so that places meet again."""
    names, moved = known_names(metric.clip, NAMED_PAIRS), []
    for photo in photos:
        x = tensor(photo.crop((0, 0, photo.width // 32 * 32, photo.height // 32 * 32)))
        with torch.no_grad():
            there, back = (smoothed(metric.score_map(one, names)) for one in (x, x.flip(-1)))
        moved.append((there - back.flip(-1)).abs().mean((0, 2, 3)))
    each = torch.stack(moved)  # (photos, questions)
    found = [f"{name} {value:.3f}" for name, value in zip(names, each.mean(0).tolist(), strict=True)]
    print(f"\nMoved by a flip, mean over places and photos: {', '.join(found)}; largest of a photo {each.max():.3f}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--backbone", default="mini")
    parser.add_argument("--clip-weights")
    parser.add_argument("--side", type=int, default=512, help="longer side of the photos in pixels")
    parser.add_argument("--cost", metavar="HxW", nargs="*", default=[], help="only these timings")
    parser.add_argument("--finer", action="store_true", help="only scale")
    parser.add_argument("--field", action="store_true", help="only how far a place sees")
    parser.add_argument("--limit", type=int, help="only so many photos")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    metric = CLIPIQA(backbone=args.backbone, clip_weights=args.clip_weights).eval()
    for size in args.cost:
        height, width = map(int, size.split("x"))
        cost(metric, (height, width), args.rounds)
    if args.cost:
        return
    photos = []
    for path in sorted(path for path in args.photos.iterdir() if path.suffix.lower() in (".jpg", ".png")):
        photo = Image.open(path).convert("RGB")
        if max(photo.size) >= args.side:
            photo.thumbnail((args.side, args.side), Image.Resampling.LANCZOS)
            photos.append(photo)
    photos = photos[: args.limit]
    print(f"\n{metric.clip.weights.backbone} {metric.clip.weights.short}, {len(photos)} photos of {args.side} px\n")
    if args.field:
        field(metric, photos)
        return
    if args.finer:
        finer(metric, photos)
        return
    print("| change | asked | places | lowest photo | smoothed | lowest photo | pixels |\n|" + " --- |" * 7)
    for name, (question, change) in CHANGES.items() if photos else ():
        areas = np.array([told(metric, photo, change, question) for photo in photos])  # (photos, parts, 3)
        means, lowest = areas.mean((0, 1)), areas.mean(1).min(0)
        pixels = f"{means[2]:.3f}" if question == "brightness" else ""
        cells = [f"{value:.3f}" for value in (means[0], lowest[0], means[1], lowest[1])]
        print(f"| {name} | {question} | {' | '.join(cells)} | {pixels} |", flush=True)
    flipped(metric, photos)


if __name__ == "__main__":
    main()
