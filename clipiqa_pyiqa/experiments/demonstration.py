"""Bundled photos and degraded versions, scored by the bundled small CLIP."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from ..errors import FilePath, checked
from ..files.writing import replacing
from ..metric import CLIPIQA
from ..report.plotting import SOFT, captioned
from ..scoring.score import score_images
from .attribute_sweep import CHANGES

PHOTOS = Path(__file__).parents[1] / "data/photos"
ATTRIBUTES = ("quality", "sharpness", "noisiness", "contrast", "colorfulness", "brightness")


def versions_of(photo: Image.Image) -> dict[str, Image.Image]:
    """Return the photo as it is, and degraded versions."""
    compressed = io.BytesIO()
    photo.save(compressed, "JPEG", quality=8)
    return {
        "as it is": photo,
        "blurred": CHANGES["sharpness"].apply(photo, 3.0),
        "noisy": CHANGES["noisiness"].apply(photo, 25.0),
        "JPEG quality 8": Image.open(compressed).convert("RGB"),
        "low contrast": CHANGES["contrast"].apply(photo, 0.3),
    }


@dataclass(frozen=True)
class Demonstration:
    """Pictures and their scores."""

    images: dict[tuple[str, str], Image.Image]
    scores: pd.DataFrame

    def save(self, path: FilePath) -> None:
        """Write a picture of each photo's versions, with their quality, in the format of the suffix.

        Raises ``OutputError`` if the file cannot be written.
        """
        photos, versions = self.scores.index.levshape
        figure = Figure(figsize=(2.5 * versions, 2.7 * photos), layout="constrained")
        panels = figure.subplots(photos, versions).ravel()
        for axes, (key, picture), quality in zip(panels, self.images.items(), self.scores["quality"], strict=True):
            axes.imshow(np.asarray(picture))
            axes.set_title(f"{key[1]}\nquality {quality:.2f}", fontsize=9, color=SOFT)
            axes.axis("off")
        with replacing(path) as partial:
            captioned(figure, "CLIP-IQA, mini, bundled").savefig(partial, dpi=110, transparent=True)


@checked
def demo() -> Demonstration:
    """Return scores of bundled photos and degraded versions, without any download."""
    images = dict[tuple[str, str], Image.Image]()
    for path in sorted(PHOTOS.glob("*.jpg")):
        photo = Image.open(path).convert("RGB")
        images |= {(path.stem.replace("-", " "), version): image for version, image in versions_of(photo).items()}
    metric = CLIPIQA(backbone="mini", prompts=list(ATTRIBUTES), aggregate=None)
    index = pd.MultiIndex.from_tuples(images, names=["photo", "version"])
    scores = score_images(metric, list(images.values()), device="cpu")
    return Demonstration(images, scores[list(ATTRIBUTES)].set_axis(index))
