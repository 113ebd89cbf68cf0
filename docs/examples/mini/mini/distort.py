"""Graded distortions and enhancements of a PIL image.

A *grade* is 0 (nothing) to 1 (severe) and means about the same loss of quality for every kind, because each kind's
parameter is read off a table at grades 0, 0.2, ... 1. Nothing here is random except through the generator passed in.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

GRADES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# Parameter at each of GRADES.
TABLES: dict[str, tuple[float, ...]] = {
    "blur": (0.0, 0.6, 1.2, 2.0, 3.2, 5.0),  # standard deviation, pixels
    "noise": (0.0, 6.0, 13.0, 22.0, 36.0, 60.0),  # standard deviation, of 255
    "jpeg": (100, 60, 35, 20, 10, 5),  # libjpeg quality
    "rescale": (1.0, 1.5, 2.2, 3.0, 4.2, 6.0),  # down by this factor and up again
    "contrast": (1.0, 0.75, 0.55, 0.38, 0.24, 0.12),  # ImageEnhance.Contrast
    "darken": (1.0, 0.7, 0.5, 0.35, 0.22, 0.12),  # ImageEnhance.Brightness
    "overexpose": (1.0, 1.3, 1.6, 2.0, 2.6, 3.4),  # ImageEnhance.Brightness
}
RESAMPLE = (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS, Image.Resampling.BOX)


def parameter(kind: str, grade: float) -> float:
    """The kind's own parameter (see TABLES) at a grade in [0, 1]."""
    return float(np.interp(grade, GRADES, TABLES[kind]))


def grade_of(kind: str, value: float) -> float:
    """The grade at which a kind has this parameter; the inverse of `parameter`."""
    table = np.asarray(TABLES[kind], dtype=float)
    order = np.argsort(table)
    return float(np.interp(value, table[order], np.asarray(GRADES)[order]))


def blur(image: Image.Image, grade: float, rng: np.random.Generator) -> Image.Image:
    """Gaussian mostly; a third of the time a box (defocus) or a motion blur of about the same spread."""
    sigma = parameter("blur", grade)
    style = rng.random()
    if style < 0.7 or sigma < 0.8:
        return image.filter(ImageFilter.GaussianBlur(sigma))
    if style < 0.85:
        return image.filter(ImageFilter.BoxBlur(sigma * 1.5))
    return motion_blur(image, length=3.4 * sigma, angle=rng.uniform(0, 180))


def motion_blur(image: Image.Image, length: float, angle: float) -> Image.Image:
    """Average along a straight line of `length` pixels at `angle` degrees."""
    steps = max(2, int(np.ceil(length)))
    pixels = np.asarray(image, dtype=np.float32)
    reach = int(np.ceil(length / 2)) + 1
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    height, width = pixels.shape[:2]
    total = np.zeros_like(pixels)
    for offset in np.linspace(-length / 2, length / 2, steps):
        y = reach + round(offset * np.sin(np.radians(angle)))
        x = reach + round(offset * np.cos(np.radians(angle)))
        total += padded[y : y + height, x : x + width]
    return _to_image(total / steps)


def noise(image: Image.Image, grade: float, rng: np.random.Generator) -> Image.Image:
    """Gaussian, per channel mostly; sometimes grey, sometimes stronger in bright places, like a sensor's."""
    sigma = parameter("noise", grade)
    pixels = np.asarray(image, dtype=np.float32)
    style = rng.random()
    channels = 1 if style > 0.8 else 3
    grain = rng.standard_normal((*pixels.shape[:2], channels), dtype=np.float32)
    if 0.65 < style < 0.8:
        grain = grain * np.sqrt(0.25 + pixels / 170.0)
    return _to_image(pixels + sigma * grain)


def jpeg(image: Image.Image, grade: float, rng: np.random.Generator) -> Image.Image:
    """JPEG of any chroma subsampling."""
    return jpeg_quality(image, round(parameter("jpeg", grade)), subsampling=int(rng.choice((0, 1, 2, 2))))


def jpeg_quality(image: Image.Image, quality: int, subsampling: int = 2) -> Image.Image:
    """Through libjpeg at this quality; subsampling as PIL counts it (0: 4:4:4, 1: 4:2:2, 2: 4:2:0)."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return Image.open(buffer).convert("RGB")


def rescale(image: Image.Image, grade: float, rng: np.random.Generator) -> Image.Image:
    """Down and up again, with resampling filters drawn at random (nearest upwards one time in ten)."""
    down, up = rng.choice(RESAMPLE), rng.choice(RESAMPLE[:3]) if rng.random() < 0.9 else Image.Resampling.NEAREST
    return rescale_by(image, parameter("rescale", grade), Image.Resampling(int(down)), Image.Resampling(int(up)))


def rescale_by(
    image: Image.Image,
    factor: float,
    down: Image.Resampling = Image.Resampling.BICUBIC,
    up: Image.Resampling = Image.Resampling.BICUBIC,
) -> Image.Image:
    """Down by `factor` and back to the same size."""
    small = image.resize((max(1, round(image.width / factor)), max(1, round(image.height / factor))), down)
    return small.resize(image.size, up)


def contrast(image: Image.Image, grade: float, rng: np.random.Generator) -> Image.Image:
    """Loss of contrast towards the mean grey, or, a third of the time, towards a haze of any grey."""
    factor = parameter("contrast", grade)
    if rng.random() < 0.67:
        return ImageEnhance.Contrast(image).enhance(factor)
    veil = Image.new("RGB", image.size, (int(rng.integers(60, 230)),) * 3)
    return Image.blend(veil, image, factor)


def darken(image: Image.Image, grade: float, rng: np.random.Generator) -> Image.Image:
    """Under-exposure."""
    return ImageEnhance.Brightness(image).enhance(parameter("darken", grade))


def overexpose(image: Image.Image, grade: float, rng: np.random.Generator) -> Image.Image:
    """Over-exposure, with the highlights clipped."""
    return ImageEnhance.Brightness(image).enhance(parameter("overexpose", grade))


DISTORTIONS: dict[str, Callable[[Image.Image, float, np.random.Generator], Image.Image]] = {
    "blur": blur,
    "noise": noise,
    "jpeg": jpeg,
    "rescale": rescale,
    "contrast": contrast,
    "darken": darken,
    "overexpose": overexpose,
}


def _to_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
