"""Bundled photos and degraded versions, scored by the bundled small CLIP."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from ..errors import ImageError
from ..errors.arguments import checked
from ..files.writing import replacing
from ..report.plotting import COLOURS, captioned, plain_texts
from .picture_changes import CHANGES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
        """Return each photo's versions and radar chart as a figure."""
        from matplotlib.figure import Figure

        from .radar_drawing import draw_chart

        photos = self.scores.groupby(level="photo", sort=False)
        figure = Figure(figsize=(2.5 * len(VERSIONS) + 3.8, 2.7 * len(photos)))
        # fixed margins: matplotlib's layouts draw everything twice
        margins = {"left": 0.005, "right": 0.94, "bottom": 0.06, "top": 0.94, "wspace": 0.04, "hspace": 0.35}
        widths = [1.0] * len(VERSIONS) + [0.3, 1.0]
        grid = figure.add_gridspec(len(photos), len(widths), width_ratios=widths, **margins)
        for row, (_, scores) in enumerate(photos):
            for column, (key, quality) in enumerate(scores["quality"].items()):
                axes = figure.add_subplot(grid[row, column])
                axes.imshow(np.asarray(self.images[key]))
                axes.set_title(f"{key[1]}\nquality {quality:.2f}", fontsize=9, color=COLOURS[column])
                axes.axis("off")
            radar = figure.add_subplot(grid[row, -1], projection="polar")
            draw_chart(radar, scores[list(ATTRIBUTES)])
            radar.tick_params(axis="x", labelsize=8)
        return captioned(figure, "CLIP-IQA, mini, bundled")

    def table(self) -> str:
        lines = [f"{'':16}" + "".join(f"{column:>14}" for column in self.scores.columns)]
        for photo, rows in self.scores.groupby(level="photo", sort=False):
            lines.append(str(photo))
            for (_, version), *values in rows.itertuples():
                lines.append(f"  {version:14}" + "".join(f"{value:14.2f}" for value in values))
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the figure in the format of the suffix.

        Raises:
            ImageError: The file cannot be written, or the format is unknown.
        """
        try:
            with replacing(path) as partial:
                options: dict[str, Any] = {"pil_kwargs": {"compress_level": 1}} if partial.suffix == ".png" else {}
                plain_texts(self.figure()).savefig(partial, dpi=110, **options)
        except (OSError, ValueError) as error:
            raise ImageError(f"the picture cannot be written to {os.fspath(path)!r}: {error}") from error


@checked
def demo(
    out: str | os.PathLike[str] | None = None, progress: Callable[[int, int], object] | None = None
) -> Demonstration:
    """Return scores of bundled photos and degraded versions, without any download.

    Args:
        out: Picture file to write; by default no file.
        progress: Called after each picture with the numbers of scored pictures and all pictures.

    Raises:
        ImageError: The picture cannot be written.
    """
    import torch

    from ..metric import CLIPIQA

    images: dict[tuple[str, str], Image.Image] = {}
    for path in sorted(PHOTOS.glob("*.jpg")):
        photo = Image.open(path).convert("RGB")
        images |= {(path.stem.replace("-", " "), version): change(photo) for version, change in VERSIONS.items()}
    metric = CLIPIQA(backbone="mini", prompts=list(ATTRIBUTES), aggregate=None)
    rows = []
    for number, picture in enumerate(images.values(), 1):
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
        with torch.inference_mode():
            rows.append(metric(x)[0].tolist())
        if progress is not None:
            progress(number, len(images))
    index = pd.MultiIndex.from_tuples(images, names=["photo", "version"])
    found = Demonstration(images, pd.DataFrame(rows, index=index, columns=ATTRIBUTES))
    if out is not None:
        found.save(out)
    return found
