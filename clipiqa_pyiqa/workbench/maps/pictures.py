"""Pictures of maps: local scores in colour over a grey photo."""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ...prompts.provenance import as_texts
from ..report.contact_sheet import contact_sheet
from ..report.thumbnail import thumbnail
from .photo_map import PhotoMap
from .places import upsampled

COLOURS = "viridis"  # perceptually uniform, for every kind of colour vision
STRENGTH = 0.62  # opacity of the colours over the grey photo
_SIDE = 1000  # largest side in pixels of a photo in a picture


def map_figure(photo_map: PhotoMap) -> Figure:
    """Return a photo, its map for each question, and the scale of the colours."""
    photo = small_photo(photo_map)
    step = photo_map.step * photo.width / photo_map.width
    panels = [(photo, f"{photo_map.width}×{photo_map.height} px")]
    scores = zip(photo_map.photo_scores, photo_map.shown_scores, strict=True)
    for question, (photo_score, shown_scores) in zip(photo_map.questions, scores, strict=True):
        text_below = f"{question.name} {photo_score:.2f}\n0: {question.low}\n1: {question.high}"
        panels.append((overlay(photo, shown_scores, step), text_below))
    groups = {Path(photo_map.path).name: panels, "Scores from 0 to 1": [(_colour_scale(), "")]}
    return contact_sheet(groups, caption(photo_map), columns=4, side=400)


def _colour_scale() -> Image.Image:
    """Return a strip in the colours of the scores from 0 to 1."""
    rising_scores = np.linspace(0, 1, 20, dtype=np.float32)[None]
    return overlay(Image.new("L", (400, 20), "white"), rising_scores, 20)


def caption(photo_map: PhotoMap) -> str:
    """Return what made the map."""
    texts = as_texts(photo_map.provenance)
    return "{metric}, {backbone}, weights {weights}, {map}; clipiqa-pyiqa {version}".format(**texts)


def small_photo(photo_map: PhotoMap) -> Image.Image:
    return thumbnail(photo_map.path, _SIDE, photo_map.provenance.get("apply_exif", True))


def overlay(photo: Image.Image, scores: NDArray[np.float32], step: float) -> Image.Image:
    """Return local scores ``(h, w)`` in colour over a grey photo; ``step`` is a place's side in pixels."""
    grey = np.asarray(photo.convert("L"), float)[..., None] / 255
    local_scores = torch.from_numpy(np.asarray(scores, float))[None, None]
    score_of_pixels = upsampled(local_scores, (photo.height, photo.width), step)[0, 0].numpy()
    colours = matplotlib.colormaps[COLOURS](score_of_pixels)[..., :3]
    mixed = (1 - STRENGTH) * grey + STRENGTH * colours
    return Image.fromarray((255 * mixed).round().astype(np.uint8))
