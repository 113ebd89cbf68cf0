"""Changes of the paper's five attributes, by known amounts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter


@dataclass(frozen=True)
class Change:
    """A change of one attribute of an image.

    Attributes:
        question: Name of the prompt pair whose score should grow from ``first`` to ``last``.
        plain: Amount that leaves the image as it is.
    """

    question: str
    first: float
    last: float
    plain: float
    unit: str
    apply: Callable[[Image.Image, float], Image.Image]

    def amounts(self, steps: int) -> list[float]:
        """Return the amount of each step, from the least to the most of the attribute."""
        return [round(float(amount), 6) for amount in np.linspace(self.first, self.last, steps)]


def _noisy(image: Image.Image, sigma: float) -> Image.Image:
    # PIL's effect_noise takes no seed. All steps use the same noise pattern, so that only its strength differs.
    grain = np.random.default_rng(0).standard_normal((image.height, image.width, 3), dtype=np.float32)
    grain *= sigma
    grain += np.asarray(image)
    return Image.fromarray(grain.round(out=grain).clip(0, 255, out=grain).astype(np.uint8))


def _blurred(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def _by(enhancer: Callable[[Image.Image], Any]) -> Callable[[Image.Image, float], Image.Image]:
    """Return the change that one of PIL's enhancers makes."""
    return lambda image, factor: enhancer(image).enhance(factor)


_ALL_CHANGES = (
    Change("brightness", 0.2, 1.8, 1.0, "factor of PIL's ImageEnhance.Brightness", _by(ImageEnhance.Brightness)),
    Change("noisiness", 48.0, 0.0, 0.0, "standard deviation of noise, of 255", _noisy),
    Change("colorfulness", 0.0, 2.0, 1.0, "factor of PIL's ImageEnhance.Color", _by(ImageEnhance.Color)),
    Change("sharpness", 4.0, 0.0, 0.0, "radius of PIL's GaussianBlur, in pixels", _blurred),
    Change("contrast", 0.2, 1.8, 1.0, "factor of PIL's ImageEnhance.Contrast", _by(ImageEnhance.Contrast)),
)
CHANGES = {change.question: change for change in _ALL_CHANGES}
"""Changes of the paper's five attributes. The paper names only PIL, so amounts, noise and blur are our choice."""
