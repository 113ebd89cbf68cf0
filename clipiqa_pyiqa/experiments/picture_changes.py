"""Pictures changed in steps with PIL, each change along one of the paper's attributes (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from ..images.memory import DECODING, check_memory
from ..images.reader import read_image


@dataclass(frozen=True)
class Change:
    """One way of changing a picture, by an amount.

    Attributes:
        question: The named prompt pair that it is about; its score should grow from ``first`` to ``last``.
        first: The amount with least of the attribute.
        last: The amount with most of it.
        plain: The amount that changes nothing.
        unit: What the amount is.
        apply: Picture, amount, seed -> changed picture of the same size.
    """

    question: str
    first: float
    last: float
    plain: float
    unit: str
    apply: Callable[[Image.Image, float, int], Image.Image]

    def amounts(self, steps: int) -> list[float]:
        """Return that many amounts at equal distances, from ``first`` to ``last``."""
        return [round(float(amount), 6) for amount in np.linspace(self.first, self.last, steps)]


def read_scaled(path: str, scale: float, cost: int = 0, **limits: Any) -> Image.Image:
    """Return a file's picture, read as for scoring, its sides multiplied by ``scale`` (Lanczos).

    Args:
        path: The file.
        scale: The factor.
        cost: Bytes that scoring takes for each pixel.
        limits: As for :func:`~clipiqa_pyiqa.images.reader.read_image`.

    Raises:
        ImageError: The file cannot be read, or there is not enough memory to scale or score it.
    """
    record = read_image(path, **limits)
    picture = Image.fromarray(record.pixels.permute(1, 2, 0).numpy())  # (3, H, W) -> (H, W, 3)
    width, height = (max(1, round(side * scale)) for side in record.size)
    check_memory(path, width, height, DECODING * width * height, cost * width * height)
    return picture if scale == 1 else picture.resize((width, height), Image.Resampling.LANCZOS)


def _noise(image: Image.Image, sigma: float, seed: int) -> Image.Image:
    # PIL's own effect_noise cannot be seeded. The same grain at every step, so that only its strength differs.
    grain = np.random.default_rng(seed).standard_normal((image.height, image.width, 3), dtype=np.float32)
    grain *= sigma
    grain += np.asarray(image)
    return Image.fromarray(grain.round(out=grain).clip(0, 255, out=grain).astype(np.uint8))


def _enhanced(enhancer: Callable[[Image.Image], Any]) -> Callable[[Image.Image, float, int], Image.Image]:
    return lambda image, factor, _: enhancer(image).enhance(factor)


def _blur(image: Image.Image, radius: float, _: int) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


CHANGES: dict[str, Change] = {
    change.question: change
    for change in (
        Change(
            "brightness", 0.2, 1.8, 1.0, "factor of PIL's ImageEnhance.Brightness", _enhanced(ImageEnhance.Brightness)
        ),
        Change("noisiness", 48.0, 0.0, 0.0, "standard deviation of noise, of 255", _noise),
        Change("colorfulness", 0.0, 2.0, 1.0, "factor of PIL's ImageEnhance.Color", _enhanced(ImageEnhance.Color)),
        Change("sharpness", 4.0, 0.0, 0.0, "radius of PIL's GaussianBlur, in pixels", _blur),
        Change("contrast", 0.2, 1.8, 1.0, "factor of PIL's ImageEnhance.Contrast", _enhanced(ImageEnhance.Contrast)),
    )
}
"""The paper's five. It says only that PIL changed them: the amounts are ours, as are noise and blur, which PIL's
``ImageEnhance`` cannot add (its Sharpness at factor 0 is a blur of one pixel)."""
