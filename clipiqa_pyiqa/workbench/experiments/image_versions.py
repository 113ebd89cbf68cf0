"""Images that are resized, then changed in steps; each version is read when it is scored or drawn."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image as Picture
from PIL.Image import Resampling

from ..images.image import File, Image, read_image
from ..images.reading_memory import set_aside
from ..images.stamp import Stamp
from ..names.versions import version_name
from .changes import Change

_CACHED_IMAGES = 2  # decoded images at a scale, each for all of its versions


@dataclass(frozen=True)
class ImageVersion(Image):
    """A version of an image: resized, and changed by a step.

    Attributes:
        scaled: Returns the image at a scale.
        reading_text: How the file is read, as text: it belongs to what the version's pixels depend on.
    """

    path: str
    scale: float
    change: Change
    step: int
    amount: float
    scaled: Callable[[str, float], Picture]
    reading_text: str

    @property
    def name(self) -> str:  # type: ignore[override]
        # one name for all changes that leave the image as it is, so that it is scored once
        words = "as it is" if self.amount == self.change.plain else f"{self.change.question} {self.amount:g}"
        return version_name(self.path, self.scale, words)

    def stamp(self) -> Stamp:
        return Stamp(f"{File(self.path).stamp()} {self.reading_text}")

    def picture(self) -> Picture:
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


def _scaled_images(reading: Mapping[str, Any]) -> Callable[[str, float], Picture]:
    """Return a function that reads an image, if there is memory for it, and multiplies its sides by a scale."""

    @functools.lru_cache(_CACHED_IMAGES)
    def scaled(path: str, scale: float) -> Picture:
        record = read_image(path, **reading)
        width, height = [max(1, round(side * scale)) for side in record.size]
        set_aside(path, width, height)
        if scale == 1:
            return record.picture
        return record.picture.resize((width, height), Resampling.LANCZOS)

    return scaled
