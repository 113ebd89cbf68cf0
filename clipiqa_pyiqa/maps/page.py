"""Pictures of maps, and one self-contained HTML page of all maps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ..files.printable import printable
from ..files.writing import replacing
from ..prompts.pairs import as_texts
from ..report.html import embedded, render
from ..report.pictures import contact_sheet, save_figure, thumbnail
from .places import PhotoMap, upsampled

COLOURS = "viridis"  # perceptually uniform, for every kind of colour vision
STRENGTH = 0.62  # opacity of the colours over the grey photo
_SIDE = 1000  # largest side in pixels of a photo in a picture


def write_map(one: PhotoMap, path: Path, format: str) -> None:
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
    pictures = [(photo, f"{one.width}×{one.height} px")]
    for question, score, scores in zip(one.questions, one.score, one.scores, strict=True):
        texts = f"{question.name} {score:.2f}\n0: {question.low}\n1: {question.high}"
        pictures.append((overlay(photo, scores, one.step * photo.width / one.width), texts))
    colours = overlay(Image.new("L", (400, 20), "white"), np.linspace(0, 1, 20, dtype=np.float32)[None], 20)
    parts = {Path(one.path).name: pictures, "Scores from 0 to 1": [(colours, "")]}
    return contact_sheet(parts, caption(one), columns=4, side=400)


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
                "image": embedded(picture_of(one), name),
                "one": one,
            }
            for one in maps
        ],
        failed=failed,
        provenance=as_texts(maps[0].provenance),
        data={
            "questions": list(map(asdict, questions)),
            "colours": [to_hex(colour) for colour in scale],
            "photos": [
                {
                    "height": one.height,
                    "width": one.width,
                    "step": one.step,
                    "scores": one.scores.astype(float).round(4).tolist(),
                }
                for one in maps
            ],
        },
    )
