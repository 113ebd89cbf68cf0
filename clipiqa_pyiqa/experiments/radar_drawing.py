"""The look and feel of images on radar charts, as a figure and as a page: the paper's Fig. 1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from ..errors import CLIPIQAError
from ..prompts.provenance import in_words
from ..report.contact_sheet import fitted, thumbnail, wrapped
from ..report.html import render
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
_RADIUS = 130  # of a chart on the page
MOST = len(COLOURS)  # images on one chart that can still be told apart


def check_chart(images: int, questions: Iterable[str] = LOOK) -> None:
    """Raise ``CLIPIQAError`` for a chart of too many images or too few questions."""
    questions = list(questions)
    if images > MOST:
        raise CLIPIQAError(f"a radar chart shows at most {MOST} images; got {images}.")
    if len(questions) < 3:
        raise CLIPIQAError(f"a radar chart needs at least three questions; got {', '.join(questions) or 'none'}.")


def charts_of(scores: Scores) -> dict[str, list[str]]:
    """Return title -> questions of each chart: the paper's two, or one if other questions were asked.

    Raises:
        CLIPIQAError: There are too many images, or fewer than three questions.
    """
    asked = scores.questions
    check_chart(len(scores.frame), asked)
    groups = {"look": [name for name in LOOK if name in asked], "feel": [name for name in FEEL if name in asked]}
    groups = {title: names for title, names in groups.items() if names}
    papers = set(asked) <= {*LOOK, *FEEL} and all(len(names) >= 3 for names in groups.values())
    return groups if papers else {"": asked}


def radar_figure(scores: Scores) -> Figure:
    """Draw radar charts of images: each spoke a question, 0 in the middle and 1 at the rim; the photos are the legend.

    Args:
        scores: Of :func:`~.scores.score_images`, at most 8 images and at least three questions.

    Raises:
        CLIPIQAError: As :func:`charts_of`.
    """
    charts = charts_of(scores)
    with matplotlib.rc_context(STYLE):
        rows = math.ceil(len(scores.frame) / _ABREAST)
        figure = Figure(figsize=(4.6 * max(len(charts), 1.3), 4.3 + 1.3 * rows), layout="constrained")
        photos, spokes = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.3 * rows, 4.3]).ravel()
        _draw_legend(photos, scores)
        panels = spokes.subplots(1, len(charts), squeeze=False, subplot_kw={"projection": "polar"})[0]
        for axes, (title, questions) in zip(panels, charts.items(), strict=True):
            draw_chart(axes, scores.frame[questions], title)
    return figure


def draw_chart(axes: Axes, scores: pandas.DataFrame, title: str = "") -> None:
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
    axes.set_xticks(angles, list(map(_spoke_label, questions)), **WORDS)
    axes.tick_params(axis="x", pad=6)
    for label, side in zip(axes.get_xticklabels(), np.sin(angles), strict=True):  # clear of the rim
        label.set_horizontalalignment("center" if abs(side) < 0.1 else "left" if side > 0 else "right")
    axes.grid(color="#d5d8dd", linewidth=0.8)
    axes.spines[:].set_color("#d5d8dd")
    if title:
        axes.set_title(title, loc="center", fontsize=11, pad=16)


def radar_page(scores: Scores) -> str:
    """Return one HTML page with the charts, the photos as legend, the numbers and the provenance.

    Raises:
        CLIPIQAError: As :func:`charts_of`.
    """
    names = named(scores)
    return render(
        __package__,
        "radar.html.j2",
        title="Look and feel by CLIP-IQA",
        photos=[
            {"path": path, "name": name, "colour": colour}
            for (path, name), colour in zip(names.items(), COLOURS, strict=False)
        ],
        apply_exif=exif_applied(scores.provenance),
        charts=[_page_chart(scores.frame[questions], title) for title, questions in charts_of(scores).items()],
        rows=[(question, scores.frame[question].tolist()) for question in scores.questions],
        failed=list(scores.failed.values()),
        provenance=in_words(scores.provenance),
    )


def named(scores: Scores) -> dict[str, str]:
    """Return path -> its file name, or the whole path where other images have that name too."""
    names = [printable(Path(path).name) for path in scores.frame.index]
    return {
        path: name if names.count(name) == 1 else printable(str(path))
        for path, name in zip(scores.frame.index, names, strict=True)
    }


def points(values: Sequence[float], radius: float) -> list[tuple[float, float]]:
    """Return where values in [0, 1] lie around (0, 0): the first on top, then clockwise, y downwards."""
    angles = np.linspace(0, 2 * np.pi, len(values), endpoint=False)
    around = zip(radius * np.sin(angles) * values, -radius * np.cos(angles) * values, strict=True)
    return [(float(x), float(y)) for x, y in around]


def _page_chart(scores: pandas.DataFrame, title: str) -> dict[str, Any]:
    """Return what the template draws, around (0, 0) with a rim of radius 130."""
    questions = list(scores.columns)
    rings = [
        {
            "corners": _joined(points([level] * len(questions), _RADIUS)),
            "label": f"{level:g}" if level in (0.5, 1.0) else "",
            "top": f"{-_RADIUS * level - 2:.1f}",
        }
        for level in (0.25, 0.5, 0.75, 1.0)
    ]
    shapes = []
    for colour, (path, row) in zip(COLOURS, scores.iterrows(), strict=False):
        corners = points(row.tolist(), _RADIUS)
        dots = [
            {"x": f"{x:.1f}", "y": f"{y:.1f}", "said": f"{path}: {question} {value:.4f}"}
            for (x, y), question, value in zip(corners, questions, row, strict=True)
        ]
        shapes.append({"colour": colour, "corners": _joined(corners), "dots": dots})
    spokes = [
        _spoke(*end, question) for end, question in zip(points([1] * len(questions), _RADIUS), questions, strict=True)
    ]
    return {"title": title, "rings": rings, "spokes": spokes, "shapes": shapes}


def _spoke(x: float, y: float, question: str) -> dict[str, Any]:
    """Return a spoke that ends at (x, y), and its label beyond the rim."""
    lines = _spoke_label(question).split("\n")
    top = y * 1.12 + (4 if abs(y) < 0.9 * _RADIUS else 10 if y > 0 else -4 - 11 * (len(lines) - 1))
    anchor = "middle" if abs(x) < 1 else "start" if x > 0 else "end"
    at = {"x": f"{x:.1f}", "y": f"{y:.1f}", "top": f"{top:.1f}", "left": f"{x * 1.1:.1f}"}
    return {**at, "lines": lines, "anchor": anchor}


def _joined(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _spoke_label(question: str) -> str:
    """Return the name, or what the rim means where the name does not tell."""
    if question == "noisiness":
        return "noisiness\n(rim: clean)"
    return wrapped(question.split("|")[0].removesuffix("."), 15)


def _draw_legend(figure: SubFigure, scores: Scores) -> None:
    columns = min(max(len(scores.frame), 3), _ABREAST)
    panels = figure.subplots(math.ceil(len(scores.frame) / columns), columns, squeeze=False).ravel()
    width = 0.95 * figure.bbox.width / figure.figure.dpi * 72 / columns  # of each, in points
    for axes in panels:
        axes.set_axis_off()
    for axes, colour, (path, name) in zip(panels, COLOURS, named(scores).items(), strict=False):
        axes.imshow(np.asarray(thumbnail(path, 240, exif_applied(scores.provenance))))
        axes.set_axis_on()
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=colour, linewidth=3.5)
        axes.set_xlabel(fitted(name, width, 8), fontsize=8, color=INK, **WORDS)
