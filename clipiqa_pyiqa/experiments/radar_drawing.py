"""The look and feel of images on radar charts: the paper's Fig. 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from ..errors import CLIPIQAError
from ..report.contact_sheet import fitted, thumbnail, wrapped
from ..report.plotting import COLOURS, INK, STYLE, WORDS
from ..scoring.rows import printable
from .scores import Scores, exif_applied

if TYPE_CHECKING:
    import pandas

LOOK = ("quality", "brightness", "sharpness", "noisiness", "colorfulness", "contrast")
"""The attributes of Fig. 1 (a), quality perception."""
FEEL = ("aesthetic", "happy", "natural", "new", "scary", "complex")
"""The attributes of Fig. 1 (b), abstract perception."""
_ABREAST = 4  # photos in a row of the legend
MOST = len(COLOURS)  # images on one chart that can still be told apart


def check_count(images: int) -> None:
    """Raise if so many images cannot be told apart on one chart."""
    if images > MOST:
        raise CLIPIQAError(
            f"a radar chart of {images} images cannot be read: choose up to {MOST}, or use `clipiqa rank`."
        )


def charts_of(scores: Scores) -> dict[str, list[str]]:
    """Title -> questions of each chart: the paper's two, as far as they were asked, and one of all the others.

    Raises:
        CLIPIQAError: Too many images for a chart, or fewer than three questions for each.
    """
    check_count(len(scores.frame))
    asked = scores.questions
    groups = {"look": [name for name in LOOK if name in asked], "feel": [name for name in FEEL if name in asked]}
    rest = [name for name in asked if name not in (*LOOK, *FEEL)]
    if rest or any(0 < len(names) < 3 for names in groups.values()):
        groups = {"": asked}
    groups = {title: names for title, names in groups.items() if names}
    if any(len(names) < 3 for names in groups.values()):
        raise CLIPIQAError(f"a radar chart needs at least three questions, but {', '.join(asked)} came.")
    return groups


def radar_figure(scores: Scores) -> Figure:
    """Radar charts of images: each spoke a question, 0 in the middle and 1 at the rim; the photos are the legend.

    Args:
        scores: Of :func:`~.scores.score_images`, at most 8 images and at least three questions.

    Raises:
        CLIPIQAError: As :func:`charts_of`.
    """
    charts = charts_of(scores)
    with matplotlib.rc_context(STYLE):
        rows = math.ceil(len(scores.frame) / _ABREAST)
        figure = Figure(figsize=(4.6 * max(len(charts), 1.3), 4.3 + 1.3 * rows), layout="constrained")
        parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.3 * rows, 4.3])
        photos, spokes = parts[0, 0], parts[1, 0]
        _legend(photos, scores)
        panels = spokes.subplots(1, len(charts), squeeze=False, subplot_kw={"projection": "polar"})[0]
        for axes, (title, questions) in zip(panels, charts.items(), strict=True):
            chart(axes, scores.frame[questions], title)
    return figure


radar = radar_figure  # its name in the first release; radar of the package is the whole experiment


def said_of(question: str) -> str:
    """A spoke's label: the name, or what the rim means where the name does not tell."""
    said = "noisiness\n(rim: clean)" if question == "noisiness" else question.split("|")[0].removesuffix(".")
    return said if "\n" in said else wrapped(said, 15)


def chart(axes: Axes, scores: pandas.DataFrame, title: str = "") -> None:
    """Draw one chart on polar axes: a row per image in the colours of ``COLOURS``, a column per question."""
    questions = list(scores.columns)
    angles = np.linspace(0, 2 * np.pi, len(questions), endpoint=False)
    around = np.append(angles, angles[0])
    for colour, (_, row) in zip(COLOURS, scores.iterrows(), strict=False):
        values = np.append(row.to_numpy(), row.iloc[0])
        axes.plot(around, values, color=colour, linewidth=2, marker="o", markersize=3.5)
        axes.fill(around, values, color=colour, alpha=0.05, linewidth=0)
    axes.set_theta_offset(np.pi / 2)  # type: ignore[attr-defined]
    axes.set_theta_direction(-1)  # type: ignore[attr-defined]
    axes.set_ylim(0, 1)
    axes.set_yticks([0.25, 0.5, 0.75, 1], ["", "0.5", "", "1"], color="#7a7f87", fontsize=7.5)
    axes.set_xticks(angles, [said_of(question) for question in questions], **WORDS)
    axes.tick_params(axis="x", pad=6)
    for label, angle in zip(axes.get_xticklabels(), angles, strict=True):  # clear of the rim
        label.set_horizontalalignment(
            "center" if abs(np.sin(angle)) < 0.1 else "left" if np.sin(angle) > 0 else "right"
        )
    axes.grid(color="#d5d8dd", linewidth=0.8)
    axes.spines[:].set_color("#d5d8dd")
    if title:
        axes.set_title(title, loc="center", fontsize=11, pad=16)


def _legend(figure: SubFigure, scores: Scores) -> None:
    columns = min(max(len(scores.frame), 3), _ABREAST)
    panels = figure.subplots(math.ceil(len(scores.frame) / columns), columns, squeeze=False).ravel()
    width = 0.95 * figure.bbox.width / figure.figure.dpi * 72 / columns  # of each, in points
    for axes in panels:
        axes.set_axis_off()
    for axes, colour, (path, name) in zip(panels, COLOURS, named(scores).items(), strict=False):
        axes.imshow(np.asarray(thumbnail(path, 240, exif_applied(scores.provenance))))
        axes.set_axis_on()
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(visible=True, color=colour, linewidth=3.5)
        axes.set_xlabel(fitted(name, width, 8), fontsize=8, color=INK, **WORDS)


def points(values: Sequence[float], radius: float) -> list[tuple[float, float]]:
    """Where values in [0, 1] lie on a chart around (0, 0): the first on top, then clockwise, y downwards."""
    angles = np.linspace(0, 2 * np.pi, len(values), endpoint=False)
    return [
        (float(radius * value * np.sin(angle)), float(-radius * value * np.cos(angle)))
        for value, angle in zip(values, angles, strict=True)
    ]


def named(scores: Scores) -> Mapping[str, str]:
    """Path -> its file name, or the whole path where other images have that name too."""
    names = [printable(Path(path).name) for path in scores.frame.index]
    return {
        path: name if names.count(name) == 1 else printable(str(path))
        for path, name in zip(scores.frame.index, names, strict=True)
    }
