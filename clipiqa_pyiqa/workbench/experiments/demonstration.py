"""Bundled photos and degraded versions, scored by the bundled small CLIP."""

import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from ...checks import FilePath
from ...metric import CLIPIQA
from ..report.contact_sheet import contact_sheet
from ..report.pictures import save_figure
from ..scoring.score_images import score_images
from .changes import CHANGES

PHOTOS = Path(__file__).parents[2] / "data/photos"
ATTRIBUTES = ("quality", "sharpness", "noisiness", "contrast", "colorfulness", "brightness")


@dataclass(frozen=True)
class Demonstration:
    """Versions of photos, and their scores; both have the keys ``(photo, version)``."""

    images: dict[tuple[str, str], Image.Image]
    scores: pd.DataFrame

    def save(self, path: FilePath) -> None:
        """Write a picture of each photo's versions, with their quality, in the format of the suffix.

        Raises ``OutputError`` if the file cannot be written.
        """
        groups = dict[str, list[tuple[Image.Image, str]]]()
        for (photo, version), quality in self.scores["quality"].items():
            caption = f"{version}\nquality {quality:.2f}"
            groups.setdefault(photo, []).append((self.images[photo, version], caption))
        save_figure(contact_sheet(groups, "CLIP-IQA, mini, bundled"), path)


def demo() -> Demonstration:
    """Return scores of bundled photos and degraded versions, without any download."""
    images = dict[tuple[str, str], Image.Image]()
    for path in sorted(PHOTOS.glob("*.jpg")):
        name = path.stem.replace("-", " ")
        photo = Image.open(path).convert("RGB")
        images[name, "as it is"] = photo
        images[name, "blurred"] = CHANGES["sharpness"].apply(photo, 3.0)
        images[name, "noisy"] = CHANGES["noisiness"].apply(photo, 25.0)
        images[name, "JPEG quality 8"] = _compressed(photo, quality=8)
        images[name, "low contrast"] = CHANGES["contrast"].apply(photo, 0.3)
    metric = CLIPIQA(backbone="mini", prompts=list(ATTRIBUTES), aggregate=None)
    index = pd.MultiIndex.from_tuples(images, names=["photo", "version"])
    scores = score_images(metric, list(images.values()), device="cpu")
    return Demonstration(images, scores[list(ATTRIBUTES)].set_axis(index))


def _compressed(photo: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")
