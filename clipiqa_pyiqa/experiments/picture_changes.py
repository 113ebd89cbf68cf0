"""Pictures changed in steps with PIL, each change along one of the paper's attributes (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter


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
        """That many amounts at equal distances, from ``first`` to ``last``."""
        return [round(float(amount), 6) for amount in np.linspace(self.first, self.last, steps)]


def _noise(image: Image.Image, sigma: float, seed: int) -> Image.Image:
    # PIL's own effect_noise cannot be seeded. The same grain at every step, so that only its strength differs.
    grain = np.random.default_rng(seed).standard_normal((image.height, image.width, 3), dtype=np.float32)
    grain *= sigma
    grain += np.asarray(image)
    return Image.fromarray(grain.round(out=grain).clip(0, 255, out=grain).astype(np.uint8))


CHANGES: dict[str, Change] = {
    change.question: change
    for change in (
        Change(
            *("brightness", 0.2, 1.8, 1.0, "factor of PIL's ImageEnhance.Brightness"),
            apply=lambda image, factor, _: ImageEnhance.Brightness(image).enhance(factor),
        ),
        Change(
            *("noisiness", 48.0, 0.0, 0.0, "standard deviation of noise, of 255"),
            apply=_noise,
        ),
        Change(
            *("colorfulness", 0.0, 2.0, 1.0, "factor of PIL's ImageEnhance.Color"),
            apply=lambda image, factor, _: ImageEnhance.Color(image).enhance(factor),
        ),
        Change(
            *("sharpness", 4.0, 0.0, 0.0, "radius of PIL's GaussianBlur, in pixels"),
            apply=lambda image, radius, _: image.filter(ImageFilter.GaussianBlur(radius)),
        ),
        Change(
            *("contrast", 0.2, 1.8, 1.0, "factor of PIL's ImageEnhance.Contrast"),
            apply=lambda image, factor, _: ImageEnhance.Contrast(image).enhance(factor),
        ),
    )
}
"""The paper's five. It says only that PIL changed them: the amounts are ours, as are noise and blur, which PIL's
``ImageEnhance`` cannot add (its Sharpness at factor 0 is a blur of one pixel)."""
