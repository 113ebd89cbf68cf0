"""Bundled photos and degraded versions, scored by the bundled small CLIP."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from ..errors.arguments import checked
from ..files.writing import replacing
from ..metric import CLIPIQA
from ..report.plotting import SOFT, captioned
from ..scoring.in_memory import score_images
from .picture_changes import CHANGES

PHOTOS = Path(__file__).parents[1] / "data/photos"
ATTRIBUTES = ("quality", "sharpness", "noisiness", "contrast", "colorfulness", "brightness")


def _changed(question: str, amount: float) -> Callable[[Image.Image], Image.Image]:
    return lambda photo: CHANGES[question].apply(photo, amount, 0)


def _compressed(photo: Image.Image) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=8)
    return Image.open(file).convert("RGB")


VERSIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda photo: photo,
    "blurred": _changed("sharpness", 3.0),
    "noisy": _changed("noisiness", 25.0),
    "JPEG quality 8": _compressed,
    "low contrast": _changed("contrast", 0.3),
}


@dataclass(frozen=True)
class Demonstration:
    """Pictures and their scores.

    Attributes:
        images: (photo, version) -> picture.
        scores: A row per picture; columns ``ATTRIBUTES``, in [0, 1].
    """

    images: dict[tuple[str, str], Image.Image]
    scores: pd.DataFrame

    def figure(self) -> Figure:
        """Return a figure of each photo's versions, with their quality."""
        photos = len(self.images) // len(VERSIONS)
        figure = Figure(figsize=(2.5 * len(VERSIONS), 2.7 * photos), layout="constrained")
        panels = figure.subplots(photos, len(VERSIONS)).ravel()
        for axes, (key, picture), quality in zip(panels, self.images.items(), self.scores["quality"], strict=True):
            axes.imshow(np.asarray(picture))
            axes.set_title(f"{key[1]}\nquality {quality:.2f}", fontsize=9, color=SOFT)
            axes.axis("off")
        return captioned(figure, "CLIP-IQA, mini, bundled")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the figure in the format of the suffix. Raises ``OutputError`` if the file cannot be written."""
        with replacing(path) as partial:
            self.figure().savefig(partial, dpi=110, transparent=True)


@checked
def demo(progress: Callable[[int, int], object] = lambda done, total: None) -> Demonstration:
    """Return scores of bundled photos and degraded versions, without any download.

    Args:
        progress: Called after each picture with two numbers: the scored pictures, and all pictures.
    """
    images: dict[tuple[str, str], Image.Image] = {}
    for path in sorted(PHOTOS.glob("*.jpg")):
        photo = Image.open(path).convert("RGB")
        images |= {(path.stem.replace("-", " "), version): change(photo) for version, change in VERSIONS.items()}
    metric = CLIPIQA(backbone="mini", prompts=list(ATTRIBUTES), aggregate=None)
    rows = []
    for number, picture in enumerate(images.values(), 1):
        rows.append(score_images(metric, picture, device="cpu"))
        progress(number, len(images))
    index = pd.MultiIndex.from_tuples(images, names=["photo", "version"])
    return Demonstration(images, pd.concat(rows)[list(ATTRIBUTES)].set_axis(index))
