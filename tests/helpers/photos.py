"""Small distorted versions of real photos, for tests that need images which differ as photos differ."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

BUNDLED = Path(__file__).parents[1] / "data"


def _noisy(image: Image.Image, sigma: float) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, sigma, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


DISTORTIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as is": lambda image: image,
    "blur 1": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "blur 3": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "noise 15": lambda image: _noisy(image, 15),
    "noise 40": lambda image: _noisy(image, 40),
    "jpeg 10": lambda image: _jpeg(image, 10),
    "dark": lambda image: ImageEnhance.Brightness(image).enhance(0.4),
    "flat": lambda image: ImageEnhance.Contrast(image).enhance(0.4),
    "grey": lambda image: ImageEnhance.Color(image).enhance(0),
}


def distorted_photos(
    folder: Path, sources: list[Path], size: tuple[int, int] = (128, 96), parts: int = 1
) -> list[Path]:
    """Write each photo, shrunk (or ``parts`` pieces of it), in every distortion, as PNG; returns the files in order."""
    paths = []
    for source in sources:
        photo = Image.open(source).convert("RGB")
        for part in range(parts):
            left = photo.width * part // parts
            piece = photo.crop((left, 0, left + photo.width // parts, photo.height)).resize(
                size, Image.Resampling.LANCZOS
            )
            for name, distort in DISTORTIONS.items():
                path = folder / f"{source.stem} {part} {name}.png"
                distort(piece).save(path)
                paths.append(path)
    return paths
