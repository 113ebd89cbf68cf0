"""The demonstration: bundled photos and degraded versions of them, scored by the small CLIP in this package."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from ..errors import ImageError
from ..errors.arguments import checked
from ..files.writing import replacing
from ..report.plotting import plain_texts
from .picture_changes import CHANGES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PHOTOS = Path(__file__).parents[1] / "data/photos"
ATTRIBUTES = ("quality", "sharpness", "noisiness", "contrast", "colorfulness", "brightness")
OTHER = "piqe"
"""The metric beside ours: it is computed from the pixels alone, so it needs no download."""


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


def demo_images() -> dict[tuple[str, str], Image.Image]:
    """Return (photo, version) -> picture: the bundled photos, each as it is and degraded in four ways.

    Raises:
        ImageError: The photos are not in the package.
    """
    paths = sorted(PHOTOS.glob("*.jpg"))
    if not paths:
        raise ImageError(f"{PHOTOS}, which is part of clipiqa-pyiqa, has no photos: install the package again.")
    photos = {path.stem.replace("-", " "): Image.open(path).convert("RGB") for path in paths}
    return {(name, version): change(photo) for name, photo in photos.items() for version, change in VERSIONS.items()}


def demo_scores(
    images: dict[tuple[str, str], Image.Image], progress: Callable[[int, int], object] | None = None
) -> pd.DataFrame:
    """Score pictures as a user of pyiqa would.

    Args:
        images: As :func:`demo_images` returns them.
        progress: Called after each picture with how many are scored, and how many there are.

    Returns:
        One row per picture, indexed by photo and version; one column per attribute of ``ATTRIBUTES``, each in [0, 1],
        and one of ``OTHER``, 0 to 100, where lower is better.
    """
    import pyiqa
    import torch

    ours = pyiqa.create_metric("clipiqa", backbone="mini", prompts=list(ATTRIBUTES), aggregate=None, device="cpu")
    other = pyiqa.create_metric(OTHER, device="cpu")
    rows = []
    for number, picture in enumerate(images.values(), 1):
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
        with torch.inference_mode():
            rows.append([*ours(x)[0].tolist(), float(other(x))])
        if progress is not None:
            progress(number, len(images))
    index = pd.MultiIndex.from_tuples(images, names=["photo", "version"])
    return pd.DataFrame(rows, index=index, columns=[*ATTRIBUTES, OTHER])


@dataclass(frozen=True)
class Demonstration:
    """Pictures, by photo and version, and their scores, as :func:`demo_scores` returns them."""

    images: dict[tuple[str, str], Image.Image]
    scores: pd.DataFrame

    def figure(self) -> Figure:
        """Draw a row per photo: its versions with their quality, and a radar of their attributes."""
        from matplotlib.figure import Figure

        from ..report.plotting import COLOURS, captioned
        from .radar_drawing import draw_chart

        photos, versions = list(dict.fromkeys(photo for photo, _ in self.images)), list(VERSIONS)
        figure = Figure(figsize=(2.5 * len(versions) + 3.8, 2.7 * len(photos)), layout="constrained")
        grid = figure.add_gridspec(len(photos), len(versions) + 1, width_ratios=[1.0] * len(versions) + [1.35])
        for row, photo in enumerate(photos):
            for column, version in enumerate(versions):
                axes = figure.add_subplot(grid[row, column])
                axes.imshow(np.asarray(self.images[photo, version]))
                quality = self.scores.loc[(photo, version), "quality"]
                axes.set_title(f"{version}\nquality {quality:.2f}", fontsize=9, color=COLOURS[column])
                axes.axis("off")
            radar = figure.add_subplot(grid[row, -1], projection="polar")
            draw_chart(radar, self.scores.loc[photo][list(ATTRIBUTES)])
            radar.tick_params(axis="x", labelsize=8)
        return captioned(figure, "CLIP-IQA, mini, bundled")

    def table(self) -> str:
        """Return the scores as text, a group of rows per photo."""
        lines = [f"{'':16}" + "".join(f"{column:>14}" for column in self.scores.columns)]
        for photo, rows in self.scores.groupby(level="photo", sort=False):
            lines.append(str(photo))
            lines += [
                f"  {version:14}" + "".join(f"{value:14.2f}" for value in row)
                for (_, version), row in zip(rows.index, rows.to_numpy(), strict=True)
            ]
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the figure; the suffix decides the format.

        Raises:
            ImageError: The file cannot be written, or its format is unknown.
        """
        try:
            with replacing(path) as partial:
                plain_texts(self.figure()).savefig(partial, dpi=110)
        except (OSError, ValueError) as error:
            raise ImageError(f"the picture cannot be written to {os.fspath(path)!r}: {error}") from error


@checked
def demo(
    out: str | os.PathLike[str] | None = None, progress: Callable[[int, int], object] | None = None
) -> Demonstration:
    """Score bundled photos and degraded versions of them with the bundled small CLIP, without any download.

    Args:
        out: File of the picture; by default none is written.
        progress: Called after each picture with how many are scored, and how many there are.

    Returns:
        The pictures and their scores.

    Raises:
        ImageError: The photos are not in the package, or the picture cannot be written.
    """
    images = demo_images()
    found = Demonstration(images, demo_scores(images, progress))
    if out is not None:
        found.save(out)
    return found
