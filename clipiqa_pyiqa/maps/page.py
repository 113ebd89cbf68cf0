"""Pictures of maps, and one self-contained HTML page of all maps."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ..files.names import one_line, printable
from ..files.writing import replacing
from ..prompts.pairs import as_texts
from ..report.contact_sheet import fitted, thumbnail, wrapped
from ..report.html import embedded, render
from ..report.plotting import STYLE, WORDS, captioned, save_figure
from .places import Format, PhotoMap, upsampled

COLOURS = "viridis"  # perceptually uniform, for every kind of colour vision
STRENGTH = 0.62  # opacity of the colours over the grey photo
_SIDE = 1000  # largest side in pixels of a photo in a picture
_PANEL = 3.5  # width of a panel in inches


def write_map(one: PhotoMap, path: Path, format: Format) -> None:
    save_figure(map_figure(one), f"{path}.{format}")
    with replacing(f"{path}.npz") as partial:
        np.savez_compressed(
            partial,
            questions=[question.name for question in one.questions],
            score=one.score,
            scores=one.scores,
            places=one.places,
            step=one.step,
            size=[one.height, one.width],
            path=printable(one.path),
            provenance=json.dumps(dict(one.provenance), ensure_ascii=False),
        )


def map_figure(one: PhotoMap) -> Figure:
    photo = picture_of(one)
    ratio = photo.width / one.width
    panels = 1 + len(one.questions)
    columns = min(4, panels)
    rows = math.ceil(panels / columns)
    shape = min(max(one.height / one.width, 0.3), 2.0)
    height = rows * (_PANEL * shape + 0.95) + 0.5
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(columns * _PANEL + 0.2, height), layout="constrained")
        figure.suptitle(fitted(Path(one.path).name, columns * _PANEL * 72, 11), fontsize=11, **WORDS)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.axis("off")
        grid[0].imshow(photo)
        grid[0].set_title(f"{one.width}×{one.height} px", **WORDS)
        for axes, question, score, scores in zip(grid[1:], one.questions, one.score, one.scores, strict=False):
            axes.imshow(overlay(photo, scores, one.step * ratio))
            ends = one_line(wrapped(f"0: {question.low}  1: {question.high}", 44, 1))
            axes.set_title(f"{wrapped(f'{question.name} {score:.2f}', 40, 2)}\n{ends}", **WORDS)
        colours = ScalarMappable(Normalize(0, 1), COLOURS)
        figure.colorbar(colours, ax=grid, location="bottom", shrink=0.3, aspect=40, alpha=STRENGTH)
    return captioned(figure, caption(one))


def caption(one: PhotoMap) -> str:
    known = as_texts(one.provenance)
    return "{metric}, {backbone}, weights {weights}, {map}; clipiqa-pyiqa {version}".format(**known)


def picture_of(one: PhotoMap) -> Image.Image:
    return thumbnail(one.path, _SIDE, one.provenance.get("apply_exif", True))


def overlay(photo: Image.Image, scores: NDArray[np.float32], step: float) -> Image.Image:
    """Return local scores ``(h, w)`` in colour over a grey photo; ``step`` is a place's side in pixels."""
    grey = np.asarray(photo.convert("L"), float)[..., None] / 255
    maps = torch.from_numpy(np.asarray(scores, float))[None, None]
    values = upsampled(maps, (photo.height, photo.width), step)[0, 0].numpy()
    mixed = (1 - STRENGTH) * grey + STRENGTH * matplotlib.colormaps[COLOURS](values)[..., :3]
    return Image.fromarray((255 * mixed).round().astype(np.uint8))


def map_page(maps: Sequence[PhotoMap], failed: Mapping[str, str]) -> str:
    questions = maps[0].questions
    scale = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 64))
    return render(
        __package__,
        "maps.html.j2",
        title="Where in the image: local CLIP-IQA scores",
        caption=caption(maps[0]),
        questions=questions,
        strength=round(100 * STRENGTH),
        photos=[
            {
                "name": (name := Path(printable(one.path)).name),
                "image": embedded(picture_of(one), name, format="JPEG", quality=88, optimize=True),
                "rows": list(zip(questions, one.score.tolist(), one.scores.min(axis=(1, 2)).tolist(), strict=True)),
                "one": one,
            }
            for one in maps
        ],
        failed=list(failed.values()),
        provenance=as_texts(maps[0].provenance),
        data={
            "questions": list(map(asdict, questions)),
            "colours": [to_hex(colour) for colour in scale],
            "photos": [
                {
                    "height": one.height,
                    "width": one.width,
                    "step": one.step,
                    "rows": one.scores.shape[1],
                    "columns": one.scores.shape[2],
                    "scores": [[round(value, 4) for value in places.ravel().tolist()] for places in one.scores],
                }
                for one in maps
            ],
        },
    )
