"""What `mini` is trained on: groups of versions of one crop, and what each version is worth on every axis.

A *group* is one crop, untouched first, in several versions. Every version carries a target logit per axis and a weight;
weight 0 means that nobody can say (is a noisy picture sharp?). Brightness, colourfulness and contrast are measured on
the pixels; noise, sharpness and quality follow from what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from .camera import Camera
from .distort import DISTORTIONS, grade_of, motion_blur, parameter
from .words import AXES

VERSIONS = 5
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
Q, B, N, C, S, K, A = range(len(AXES))
Photo = Callable[[], Image.Image]


@dataclass
class Labels:
    """Target logits and weights of one version, in the order of AXES."""

    target: np.ndarray = field(default_factory=lambda: np.zeros(len(AXES), np.float32))
    weight: np.ndarray = field(default_factory=lambda: np.zeros(len(AXES), np.float32))

    def know(self, axis: int, target: float, weight: float = 1.0) -> None:
        """Set one axis."""
        self.target[axis], self.weight[axis] = target, weight


def look(grade: float) -> float:
    """Target logit of noise, sharpness and artifacts: 2.5 (score 0.92) untouched, -2.5 (0.08) at grade 1."""
    return 2.5 - 5.0 * grade


def worth(grade: float) -> float:
    """Target logit of quality: 1.5 (0.82, what people give to a good photo) untouched, -2.2 (0.1) at grade 1."""
    return 1.5 - 3.7 * grade**1.2


def read_photo(path: Path, max_side: int = 1600) -> Image.Image:
    """As RGB, at most `max_side` on the long side."""
    with Image.open(path) as image:
        photo = image.convert("RGB")
    photo.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return photo


def find_photos(folders: Sequence[Path]) -> list[Path]:
    """All photos under the folders, sorted."""
    found = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"no photos found under {', '.join(map(str, folders))}: give a folder of JPEG or PNG photos")
    return found


def measure(image: Image.Image) -> tuple[float, float, float]:
    """Target logits of brightness, colourfulness and contrast, measured on 48 x 48 box averages (free of noise)."""
    pixels = np.asarray(image.resize((48, 48), Image.Resampling.BOX), dtype=np.float32) / 255
    red, green, blue = np.moveaxis(pixels, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    # Hasler and Suesstrunk 2003, eq. 8.
    rg, yb = red - green, (red + green) / 2 - blue
    chroma = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    return (
        float(6.5 * (np.sqrt(luma.mean()) - 0.62)),
        _squash(2.0 * np.log2((chroma + 0.01) / 0.2)),
        _squash(2.2 * np.log2((luma.std() + 0.005) / 0.16)),
    )


def _squash(logit: float) -> float:
    return float(4.0 * np.tanh(logit / 4.0))


def detail(image: Image.Image) -> np.ndarray:
    """Absolute difference of neighbours, of 255, (H - 1, W - 1): how much there is to be sharp."""
    grey = np.asarray(image.convert("L"), dtype=np.float32)
    return np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]


def draw_crop(photo: Image.Image, height: int, width: int, rng: np.random.Generator) -> Image.Image:
    """A crop of any scale; half of them see most of the photo, as the metric does."""
    smallest = max(width / photo.width, height / photo.height)
    if rng.random() < 0.5:
        scale = min(1.0, smallest * np.exp(rng.uniform(0, 0.4)))
    else:
        scale = np.exp(rng.uniform(np.log(min(smallest, 1.0)), 0.0))
    scale = max(scale, smallest)
    box_width, box_height = width / scale, height / scale
    left, top = rng.uniform(0, max(0, photo.width - box_width)), rng.uniform(0, max(0, photo.height - box_height))
    resample = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BILINEAR)[rng.integers(3)]
    crop = photo.resize((width, height), resample, (left, top, left + box_width, top + box_height))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def strengths(count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` strengths in (0, 1], one in each equal part, so that a chain is never all mild or all severe."""
    return (np.arange(count) + rng.uniform(0.12, 1.0, count)) / count


def versions(
    crop: Image.Image, kind: str, levels: Sequence[float], rng: np.random.Generator
) -> list[tuple[Image.Image, Labels]]:
    """The crop untouched, then changed in the kind's way at each strength."""
    if kind == "camera":
        return _camera(crop, levels, rng)
    made = [(crop, untouched())]
    for level in levels:
        labels = untouched()
        made.append((CHANGES[kind](crop, float(level), labels, rng), labels))
    for image, labels in made:
        for axis, target in zip((B, C, K), measure(image), strict=True):
            labels.know(axis, labels.target[axis] + target)
    return made


def emphasise(target: np.ndarray, weight: np.ndarray, kind: np.ndarray, camera_noise: dict[str, float]) -> None:
    """What people see more of than its size tells, in place. Arrays (N, axes), kinds (N,).

    Noise lowers sharpness a little: otherwise grain passes for detail. A camera's noise costs more quality than its
    deviation says (`times`), as the rated photos' own scores say of it, and counts more (`weight`): it is the hardest
    to see.
    """
    noisy = np.isin(kind, ("noise", "camera")) & (weight[:, N] > 0.9) & (target[:, N] < look(0.0))
    target[noisy, S] = look(0.0) - 0.25 * (look(0.0) - target[noisy, N])
    weight[noisy, S] = 0.4
    camera = kind == "camera"
    target[camera, Q] = worth(0.0) - camera_noise["times"] * (worth(0.0) - target[camera, Q])
    weight[camera, Q] *= camera_noise["weight"]
    weight[kind == "jpeg", Q] *= 5
    weight[np.isin(kind, ("contrast", "contrast_factor")), Q] *= 6
    weight[np.isin(kind, ("blur", "rescale")), Q] *= 2
    weight[kind == "sharpness", S] *= 3
    weight[np.isin(kind, ("brightness", "darken")), B] *= 6


def rather_exposure(target: np.ndarray, reference: np.ndarray) -> None:
    """Let brightness be what was done to a photo, and only to 0.1 how light the photo was: a dark coat in daylight is
    not underexposed, and a darkened half is to be found whatever is in it. In place; arrays (N, axes)."""
    target[:, B] -= 0.9 * reference[:, B]


def untouched() -> Labels:
    """What is known of a photo that nothing was done to."""
    labels = Labels()
    for axis in (N, S, A):
        labels.know(axis, look(0.0))
    labels.know(Q, worth(0.0))
    return labels


def _distortion(kind: str) -> Callable[[Image.Image, float, Labels, np.random.Generator], Image.Image]:
    def change(image: Image.Image, grade: float, labels: Labels, rng: np.random.Generator) -> Image.Image:
        labels.know(Q, worth(grade))
        if kind in ("blur", "rescale"):
            labels.know(S, look(grade))
        elif kind == "noise":
            labels.know(N, look(grade))
            labels.weight[S] = 0.0
        else:
            labels.weight[S] = 0.0
            labels.weight[N] = 0.3
            if kind == "jpeg":
                labels.know(A, look(grade))
        if kind in ("darken", "overexpose"):
            labels.know(Q, worth(0.8 * grade))
            labels.target[B] = np.log2(parameter(kind, grade))
        return DISTORTIONS[kind](image, grade, rng)

    return change


def _deep_blur(image: Image.Image, strength: float, labels: Labels, rng: np.random.Generator) -> Image.Image:
    sigma = float(8 * strength**1.5)
    grade = grade_of("blur", sigma) + 0.04 * max(0.0, sigma - 5)  # less sharp still
    labels.know(Q, worth(grade))
    labels.know(S, look(grade))
    return image.filter(ImageFilter.GaussianBlur(sigma))


def _motion(image: Image.Image, strength: float, labels: Labels, rng: np.random.Generator) -> Image.Image:
    labels.know(Q, worth(strength))
    labels.know(S, look(strength))
    return motion_blur(image, 1 + 14 * strength, rng.uniform(0, 180))


def _mixture(image: Image.Image, grade: float, labels: Labels, rng: np.random.Generator) -> Image.Image:
    """Two or three distortions; what is left of the quality is the product of what each leaves."""
    kinds = rng.choice(("blur", "rescale", "contrast", "noise", "jpeg"), int(rng.integers(2, 4)), replace=False)
    left = 1.0
    for kind in kinds:
        part = grade * rng.uniform(0.3, 1.0)
        image = DISTORTIONS[str(kind)](image, part, rng)
        left *= 1 - part
    labels.know(Q, worth(1 - left))
    labels.weight[S] = labels.weight[N] = labels.weight[A] = 0.0
    return image


def _brightness(image: Image.Image, strength: float, labels: Labels, rng: np.random.Generator) -> Image.Image:
    factor = 0.2 * 12.0**strength  # 0.2 to 2.4
    grade = grade_of("darken" if factor < 1 else "overexpose", factor)
    labels.know(Q, worth(0.8 * grade), 0.5)
    labels.target[B] = np.log2(factor)
    labels.weight[N] = labels.weight[S] = 0.3 if 0.6 < factor < 1.5 else 0.0
    return ImageEnhance.Brightness(image).enhance(factor)


def _color(image: Image.Image, strength: float, labels: Labels, rng: np.random.Generator) -> Image.Image:
    factor = 2.3 * strength
    labels.know(Q, worth(0.4 * max(0.0, 1 - factor) ** 1.5), 0.5 if factor < 1.2 else 0.0)
    labels.target[C] = 0.8 * (factor - 1)
    return ImageEnhance.Color(image).enhance(factor)


def _contrast(image: Image.Image, strength: float, labels: Labels, rng: np.random.Generator) -> Image.Image:
    factor = 0.1 * 21.0**strength  # 0.1 to 2.1
    labels.know(Q, worth(grade_of("contrast", factor)), 1.0 if factor < 1.15 else 0.0)
    labels.target[K] = 0.7 * np.log2(factor)
    labels.weight[N] = labels.weight[S] = 0.3 if 0.6 < factor < 1.4 else 0.0
    return ImageEnhance.Contrast(image).enhance(factor)


def _sharpness(image: Image.Image, strength: float, labels: Labels, rng: np.random.Generator) -> Image.Image:
    """PIL's Sharpness: below 1 it blends with a 3 x 3 smoothing, above 1 away from it."""
    factor = 2.8 * strength
    labels.know(S, look(0.2 * max(0.0, 1 - factor)) + 0.7 * max(0.0, factor - 1))
    labels.know(Q, worth(0.15 * max(0.0, 1 - factor)), 1.0 if factor < 1.3 else 0.0)
    labels.weight[N] = 0.3 if factor < 1.5 else 0.0
    return ImageEnhance.Sharpness(image).enhance(factor)


def _camera(crop: Image.Image, levels: Sequence[float], rng: np.random.Generator) -> list[tuple[Image.Image, Labels]]:
    """One scene through one camera, at no noise and at rising ISO. How much noise is left is measured on the result."""
    camera = Camera.draw(rng)
    clean = camera.shoot(crop, 0.0, rng)
    made = [(clean, untouched())]
    for level in levels:
        noisy = camera.shoot(crop, 0.004 * 30.0 ** float(level), rng)
        error = np.asarray(noisy, np.float32) - np.asarray(clean, np.float32)
        grade = grade_of("noise", 1.4 * float(error.std()))  # spread over neighbours, it shows more
        labels = untouched()
        labels.know(N, look(grade))
        labels.know(Q, worth(grade))
        labels.weight[S] = 0.0
        made.append((noisy, labels))
    for image, labels in made:
        for axis, target in zip((B, C, K), measure(image), strict=True):
            labels.know(axis, target, 0.3)
    return made


CHANGES = {
    **{kind: _distortion(kind) for kind in DISTORTIONS}, "deep_blur": _deep_blur, "motion": _motion,
    "mixture": _mixture,
    "brightness": _brightness, "color": _color, "contrast_factor": _contrast, "sharpness": _sharpness,
}  # fmt: skip
