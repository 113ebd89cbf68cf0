"""Changes of images along the paper's attributes (Sec. 3.2)."""

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
    """A change of one attribute of an image.

    Attributes:
        question: Name of the prompt pair whose score should grow from ``first`` to ``last``.
        first, last: Amounts with least and most of the attribute.
        plain: Amount that changes nothing.
        apply: Function of image, amount and seed -> changed image of the same size.
    """

    question: str
    first: float
    last: float
    plain: float
    unit: str
    apply: Callable[[Image.Image, float, int], Image.Image]

    def amounts(self, steps: int) -> list[float]:
        return [round(float(amount), 6) for amount in np.linspace(self.first, self.last, steps)]


def read_scaled(path: str, scale: float, cost: int = 0, **limits: Any) -> Image.Image:
    """Return an image with sides multiplied by ``scale``, if there is memory for it and ``cost`` bytes per pixel."""
    record = read_image(path, **limits)
    picture = Image.fromarray(record.pixels.permute(1, 2, 0).numpy())  # (3, H, W) -> (H, W, 3)
    width, height = (max(1, round(side * scale)) for side in record.size)
    check_memory(path, width, height, DECODING * width * height, cost * width * height)
    return picture if scale == 1 else picture.resize((width, height), Image.Resampling.LANCZOS)


def _noise(image: Image.Image, sigma: float, seed: int) -> Image.Image:
    # PIL's effect_noise takes no seed. All steps use the same noise pattern, so that only its strength differs.
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
"""Changes of the paper's five attributes. The paper names only PIL, so amounts, noise and blur are our choice."""
