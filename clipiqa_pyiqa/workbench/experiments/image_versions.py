"""Images that are resized, then changed in steps; each version is read when it is scored or drawn."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ..images.image import File, read_image
from ..images.image import Image as AnyImage
from ..images.reading_memory import set_aside
from ..images.stamp import Stamp
from ..names.versions import version_name
from .changes import Change

_IMAGES_KEPT = 2  # decoded images at a scale, which all of their versions share


@dataclass(frozen=True)
class ImageVersion(AnyImage):
    """A version of an image: resized, and changed by a step.

    Attributes:
        scaled: Returns the image at a scale.
        reading_text: What the image depends on, besides its file, scale and change.
    """

    path: str
    scale: float
    change: Change
    step: int
    amount: float
    scaled: Callable[[str, float], Image.Image]
    reading_text: str

    @property
    def name(self) -> str:  # type: ignore[override]  # changes that leave the image as it is have one name
        words = "as it is" if self.amount == self.change.plain else f"{self.change.question} {self.amount:g}"
        return version_name(self.path, self.scale, words)

    def stamp(self) -> Stamp:
        return Stamp(f"{File(self.path).stamp()} {self.reading_text}")

    def picture(self) -> Image.Image:
        return self.change.apply(self.scaled(self.path, self.scale), self.amount)

    def read(self) -> bytes:
        file = io.BytesIO()
        self.picture().save(file, "PPM")
        return file.getvalue()


def image_versions(
    files: Sequence[str],
    scales: Sequence[float],
    changes: Sequence[Change],
    steps: int,
    reading: Mapping[str, Any],
) -> list[ImageVersion]:
    """Return all versions of the images; those of one image at one scale follow each other.

    Args:
        reading: Options of :func:`~clipiqa_pyiqa.workbench.images.image.read_image`.
    """
    scaled = _scaled_images(reading)
    return [
        ImageVersion(path, scale, change, step, amount, scaled, str(reading))
        for path, scale, change in itertools.product(files, scales, changes)
        for step, amount in enumerate(change.amounts(steps))
    ]


def _scaled_images(reading: Mapping[str, Any]) -> Callable[[str, float], Image.Image]:
    """Return a function that reads an image, if there is memory for it, and multiplies its sides by a scale."""

    @functools.lru_cache(_IMAGES_KEPT)
    def scaled(path: str, scale: float) -> Image.Image:
        record = read_image(path, **reading)
        width, height = [max(1, round(side * scale)) for side in record.size]
        set_aside(path, width, height)
        if scale == 1:
            return record.picture
        return record.picture.resize((width, height), Image.Resampling.LANCZOS)

    return scaled
