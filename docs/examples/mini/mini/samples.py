"""Training batches: crops of photos in graded versions, and what each version is worth on every axis.

A *group* is one crop in `VERSIONS` versions, the untouched one first. Every version carries a target logit per axis and
a weight; weight 0 means that nobody can say (is a noisy picture sharp?). Brightness, colourfulness and contrast are
measured on the pixels; noise, sharpness and quality follow from the grade of what was done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from torch.utils.data import Dataset

from .distort import DISTORTIONS, grade_of, motion_blur
from .words import AXES

VERSIONS = 4
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
Q, B, N, C, S, K, A = range(len(AXES))


@dataclass
class Labels:
    """Target logits and weights of one version, in the order of AXES."""

    target: np.ndarray = field(default_factory=lambda: np.zeros(len(AXES), np.float32))
    weight: np.ndarray = field(default_factory=lambda: np.zeros(len(AXES), np.float32))

    def know(self, axis: int, target: float, weight: float = 1.0) -> None:
        """Set one axis."""
        self.target[axis], self.weight[axis] = target, weight


def logit_of_grade(grade: float) -> float:
    """Target logit: 2.5 (score 0.92) untouched, -2.5 (score 0.08) at grade 1."""
    return 2.5 - 5.0 * grade


def read_photos(folders: Sequence[Path], max_side: int, exclude: Sequence[str] = ()) -> dict[str, Image.Image]:
    """All photos under the folders as RGB, at most `max_side` on the long side; a name that contains a word of
    `exclude` (in its path below the folder) is left out."""
    photos = {}
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            name = path.relative_to(folder).as_posix()
            if not any(word in name for word in exclude):
                with Image.open(path) as image:
                    photo = image.convert("RGB")
                photo.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
                photos[name] = photo
    if not photos:
        raise SystemExit(f"no photos found under {', '.join(map(str, folders))}: give a folder of JPEG or PNG photos")
    return photos


def measure(image: Image.Image) -> tuple[float, float, float]:
    """Target logits of brightness, colourfulness and contrast, measured on 48 x 48 box averages (free of noise)."""
    pixels = np.asarray(image.resize((48, 48), Image.Resampling.BOX), dtype=np.float32) / 255
    red, green, blue = np.moveaxis(pixels, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    # Hasler and Suesstrunk 2003, eq. 8.
    rg, yb = red - green, (red + green) / 2 - blue
    chroma = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    brightness = 6.5 * (np.sqrt(luma.mean()) - 0.62)
    return (
        brightness,
        _squash(2.0 * np.log2((chroma + 0.01) / 0.2)),
        _squash(2.2 * np.log2((luma.std() + 0.005) / 0.16)),
    )


def _squash(logit: float) -> float:
    return float(4.0 * np.tanh(logit / 4.0))


def detail(image: Image.Image) -> float:
    """Mean absolute difference of neighbours, of 255: how much there is to be sharp."""
    grey = np.asarray(image.convert("L"), dtype=np.float32)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


class Crops:
    """Draws crops of many scales from photos, each with a margin for distortions that must not be aligned to it."""

    margin = 8

    def __init__(self, photos: Sequence[Image.Image]) -> None:
        self.photos = photos

    def draw(self, height: int, width: int, rng: np.random.Generator) -> tuple[Image.Image, float]:
        """A crop of (height + margin, width + margin) and the weight (0.15-1) of calling it sharp."""
        photo = self.photos[int(rng.integers(len(self.photos)))]
        candidates = [self._crop(photo, height + self.margin, width + self.margin, rng) for _ in range(2)]
        details = [detail(crop) for crop in candidates]
        best = int(np.argmax(details)) if rng.random() < 0.6 else 0
        crop = candidates[best]
        if rng.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return crop, float(np.clip(details[best] / 6.0, 0.15, 1.0))

    def _crop(self, photo: Image.Image, height: int, width: int, rng: np.random.Generator) -> Image.Image:
        smallest = max(width / photo.width, height / photo.height)
        # Half of the crops see most of the photo, as the metric does; small photos are enlarged a little if they must.
        scale = min(1.0, smallest * np.exp(rng.uniform(0, 0.4))) if rng.random() < 0.5 else None
        if scale is None:
            scale = np.exp(rng.uniform(np.log(min(smallest, 1.0)), 0.0))
        scale = max(scale, smallest)
        box_width, box_height = width / scale, height / scale
        left, top = rng.uniform(0, photo.width - box_width), rng.uniform(0, photo.height - box_height)
        resample = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BILINEAR)[rng.integers(3)]
        return photo.resize((width, height), resample, (left, top, left + box_width, top + box_height))


class Recipe:
    """Turns a crop into a group. `kinds` are the weights of the chains below."""

    def __init__(self, kinds: dict[str, float]) -> None:
        self.names = list(kinds)
        self.odds = np.array(list(kinds.values())) / sum(kinds.values())

    def group(
        self, crop: Image.Image, sharp_weight: float, margin: int, rng: np.random.Generator
    ) -> list[tuple[Image.Image, Labels]]:
        """`VERSIONS` versions of one crop, the untouched first, in no other order."""
        kind = str(rng.choice(self.names, p=self.odds))
        aligned = rng.random() < 0.6
        dy, dx = (0, 0) if aligned else rng.integers(0, margin + 1, 2)
        box = (int(dx), int(dy), int(dx) + crop.width - margin, int(dy) + crop.height - margin)
        source = crop.crop(box) if aligned else crop
        versions = []
        for strength in [None, *_spread(VERSIONS - 1, rng)]:
            image, labels = self._version(source, kind, strength, rng)
            image = image if aligned else image.crop(box)
            labels.weight[S] *= sharp_weight
            labels.weight[Q] *= 0.4 + 0.6 * sharp_weight
            for axis, target in zip((B, C, K), measure(image), strict=True):
                labels.know(axis, target)
            versions.append((image, labels))
        return versions

    def _version(
        self, image: Image.Image, kind: str, strength: float | None, rng: np.random.Generator
    ) -> tuple[Image.Image, Labels]:
        labels = Labels()
        for axis in (Q, N, S, A):
            labels.know(axis, logit_of_grade(0.0))
        if strength is None:
            return image, labels
        if kind in ENHANCERS:
            return ENHANCERS[kind](image, strength, labels), labels
        if kind == "mixture":
            return _mixture(image, strength, labels, rng), labels
        if kind == "deep_blur":
            sigma = float(8 * strength**1.5)
            target = logit_of_grade(grade_of("blur", sigma)) - 0.2 * max(0.0, sigma - 5)  # less sharp still
            labels.know(Q, target)
            labels.know(S, target)
            return image.filter(ImageFilter.GaussianBlur(sigma)), labels
        if kind == "motion":
            labels.know(Q, logit_of_grade(strength))
            labels.know(S, logit_of_grade(strength))
            return motion_blur(image, 1 + 14 * strength, rng.uniform(0, 180)), labels
        _label_distortion(labels, kind, strength)
        return DISTORTIONS[kind](image, strength, rng), labels


def _spread(count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` strengths in (0, 1], one in each equal part, so that a chain is never all mild or all severe."""
    return (np.arange(count) + rng.uniform(0.12, 1.0, count)) / count


def _label_distortion(labels: Labels, kind: str, grade: float) -> None:
    labels.know(Q, logit_of_grade(grade))
    if kind in ("blur", "rescale"):
        labels.know(S, logit_of_grade(grade))
    elif kind == "noise":
        labels.know(N, logit_of_grade(grade))
        labels.weight[S] = 0.0
    else:
        labels.weight[S] = 0.0
        labels.weight[N] = 0.3
        if kind == "jpeg":
            labels.know(A, logit_of_grade(grade))
    if kind in ("darken", "overexpose"):
        labels.know(Q, logit_of_grade(0.8 * grade), 0.5)


def _mixture(image: Image.Image, grade: float, labels: Labels, rng: np.random.Generator) -> Image.Image:
    """Two or three distortions; what is left of the quality is the product of what each leaves."""
    kinds = rng.choice(("blur", "rescale", "contrast", "noise", "jpeg"), int(rng.integers(2, 4)), replace=False)
    left = 1.0
    for kind in kinds:
        part = grade * rng.uniform(0.3, 1.0)
        image = DISTORTIONS[str(kind)](image, part, rng)
        left *= 1 - part
        # A later distortion may hide the blocks.
        labels.know(A, logit_of_grade(part if kind == "jpeg" else 0.0), 1.0 if kind == kinds[-1] else 0.0)
    labels.know(Q, logit_of_grade(1 - left))
    labels.weight[S] = labels.weight[N] = 0.0
    return image


def _brightness(image: Image.Image, strength: float, labels: Labels) -> Image.Image:
    factor = 0.2 * 12.0**strength  # 0.2 to 2.4
    grade = grade_of("darken" if factor < 1 else "overexpose", factor)
    labels.know(Q, logit_of_grade(0.8 * grade), 0.5)
    labels.weight[N] = labels.weight[S] = 0.3 if 0.6 < factor < 1.5 else 0.0
    return ImageEnhance.Brightness(image).enhance(factor)


def _color(image: Image.Image, strength: float, labels: Labels) -> Image.Image:
    factor = 2.3 * strength
    labels.know(Q, logit_of_grade(0.45 * max(0.0, 1 - factor) ** 1.5), 0.5 if factor < 1.2 else 0.0)
    return ImageEnhance.Color(image).enhance(factor)


def _contrast(image: Image.Image, strength: float, labels: Labels) -> Image.Image:
    factor = 0.1 * 21.0**strength  # 0.1 to 2.1
    labels.know(Q, logit_of_grade(grade_of("contrast", factor)), 1.0 if factor < 1.15 else 0.0)
    labels.weight[N] = labels.weight[S] = 0.3 if 0.6 < factor < 1.4 else 0.0
    return ImageEnhance.Contrast(image).enhance(factor)


def _sharpness(image: Image.Image, strength: float, labels: Labels) -> Image.Image:
    """PIL's Sharpness: below 1 it blends with a 3 x 3 smoothing, above 1 away from it."""
    factor = 2.8 * strength
    softness = 0.2 * max(0.0, 1 - factor)
    labels.know(S, logit_of_grade(softness) + 0.35 * max(0.0, factor - 1))
    labels.know(Q, logit_of_grade(softness), 1.0 if factor < 1.3 else 0.0)
    labels.weight[N] = 0.3 if factor < 1.5 else 0.0
    return ImageEnhance.Sharpness(image).enhance(factor)


ENHANCERS = {"brightness": _brightness, "color": _color, "contrast_factor": _contrast, "sharpness": _sharpness}


class Batches(Dataset[dict[str, torch.Tensor]]):
    """Item `i` is the whole batch of step `i`: the same for the same seed, whatever the number of workers."""

    def __init__(
        self,
        photos: Sequence[Image.Image],
        kinds: dict[str, float],
        sizes: dict[int, float],
        pixels: int,
        seed: int,
    ) -> None:
        self.crops, self.recipe, self.pixels, self.seed = Crops(photos), Recipe(kinds), pixels, seed
        self.sizes = list(sizes)
        self.odds = np.array(list(sizes.values())) / sum(sizes.values())

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng((self.seed, step))
        side = int(rng.choice(self.sizes, p=self.odds))
        # Any remainder modulo 8: a metric sees images of all sizes.
        height, width = ((side * np.array(((1, 1), (0.75, 1), (1, 0.75))[rng.integers(3)])).astype(int)
                         + rng.integers(0, 16, 2)).tolist()  # fmt: skip
        count = max(2, round(self.pixels / (VERSIONS * height * width)))
        versions = []
        for _ in range(count):
            crop, weight = self.crops.draw(height, width, rng)
            versions += self.recipe.group(crop, weight, self.crops.margin, rng)
        images = np.stack([np.asarray(image) for image, _ in versions])
        return {
            "images": torch.from_numpy(images).permute(0, 3, 1, 2),  # (G * VERSIONS, 3, H, W) uint8
            "target": torch.from_numpy(np.stack([labels.target for _, labels in versions])),
            "weight": torch.from_numpy(np.stack([labels.weight for _, labels in versions])),
        }
