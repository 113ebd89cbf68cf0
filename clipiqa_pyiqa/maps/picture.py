"""One picture of a photo and its maps."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from ..files.names import one_line
from ..prompts.provenance import in_words
from ..report.contact_sheet import fitted, thumbnail, wrapped
from ..report.plotting import STYLE, WORDS
from .places import upsampled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .photo_map import PhotoMap, Question

COLOURS = "viridis"  # perceptually uniform, for every kind of colour vision
STRENGTH = 0.62  # opacity of the colours over the grey photo
_SIDE = 1000  # largest side in pixels of a photo in a picture
_PANEL = 3.5  # width of a panel in inches
_USUAL = {"pos_embedding": "none", "precision": "fp32", "scale": "1", "max_side": "none"}


def map_figure(one: PhotoMap, provenance: Mapping[str, Any]) -> Figure:
    photo = picture_of(one, provenance)
    ratio = photo.width / one.width
    panels = 1 + len(one.questions)
    columns = panels if panels <= 4 else min((4, 3), key=lambda count: -panels % count)  # fewest empty fields
    rows = math.ceil(panels / columns)
    shape = min(max(one.height / one.width, 0.3), 2.0)
    below = textwrap.fill(caption(provenance), round(columns * _PANEL * 17), break_on_hyphens=False)
    height = rows * (_PANEL * shape + 0.95) + 0.35 + 0.16 * (below.count("\n") + 1)
    with matplotlib.rc_context(STYLE):
        room = ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.08)
        figure = Figure(figsize=(columns * _PANEL + 0.2, height), layout=room)
        figure.suptitle(fitted(Path(one.path).name, columns * _PANEL * 72, 11), fontsize=11, **WORDS)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.axis("off")
        grid[0].imshow(photo)
        grid[0].set_title(f"{one.width}×{one.height} px", **WORDS)
        _bar(figure, grid[0], None)
        for axes, question, score, scores in zip(grid[1:], one.questions, one.score, one.scores, strict=False):
            axes.imshow(overlay(photo, scores, one.step * ratio, one.offset * ratio))
            axes.set_title(wrapped(f"{question.name} {score:.2f}", 40, 2), **WORDS)
            _bar(figure, axes, question)
        figure.supxlabel(below, fontsize=8, color="#5b6069", x=0.01, ha="left", **WORDS)
    return figure


def _bar(figure: Figure, axes: Axes, question: Question | None) -> None:
    colours = ScalarMappable(Normalize(0, 1), _mixed())
    bar = figure.colorbar(colours, ax=axes, location="bottom", fraction=0.05, pad=0.02, aspect=32)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=8)
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "", "0.5", "", "1"])
    if question is not None:
        for side, text in (("left", question.low), ("right", question.high)):
            bar.ax.set_title(one_line(wrapped(text, 22, 1)), loc=side, fontsize=8, pad=3, **WORDS)  # type: ignore[arg-type]
    else:
        bar.solids.set_visible(False)  # type: ignore[union-attr]
        bar.ax.tick_params(length=0, labelcolor="none")
        bar.ax.set_title(" ", fontsize=8, pad=3)


def save_figure(figure: Figure, path: Path, format: str) -> None:
    """Write a figure; equal figures give files with equal bytes."""
    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "clipiqa", "pdf.fonttype": 42}):
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a missing glyph is shown as a box
        figure.savefig(path, dpi=130, format=format, metadata=undated[format])


def caption(provenance: Mapping[str, Any]) -> str:
    known = in_words(provenance)
    words = [known["metric"], known["backbone"], f"weights {known['weights']}", known["map"]]
    words += [f"{name} {known[name]}" for name, usual in _USUAL.items() if known.get(name, usual) != usual]
    return f"{', '.join(words)}; clipiqa-pyiqa {known['version']}"


def picture_of(one: PhotoMap, provenance: Mapping[str, Any]) -> Image.Image:
    try:
        return thumbnail(one.path, _SIDE, provenance.get("apply_exif") is not False)
    except ImageError:
        size = np.array([one.width, one.height]) * min(1, _SIDE / max(one.width, one.height))
        return Image.new("RGB", tuple(size.round().astype(int)), (128, 128, 128))


def overlay(photo: Image.Image, scores: NDArray[np.float32], step: float, offset: float = 0.0) -> Image.Image:
    """Return local scores ``(h, w)`` in colour (viridis, 0 to 1) over a grey photo; ``step`` is a place's side."""
    grey = np.asarray(photo.convert("L"), float)[..., None] / 255
    maps = torch.from_numpy(np.asarray(scores, float))[None, None]
    values = upsampled(maps, (photo.height, photo.width), step, offset)[0, 0].numpy()
    mixed = (1 - STRENGTH) * grey + STRENGTH * matplotlib.colormaps[COLOURS](values)[..., :3]
    return Image.fromarray((255 * mixed).round().astype(np.uint8))


def _mixed() -> ListedColormap:
    colours = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 256))[:, :3]
    return ListedColormap((1 - STRENGTH) * 0.5 + STRENGTH * colours)
