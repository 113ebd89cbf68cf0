"""Radar charts as one self-contained HTML page, on which an image can be pointed at or switched off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..prompts.provenance import in_words
from ..report.html import render
from ..report.plotting import COLOURS
from .radar_drawing import charts_of, named, points, said_of
from .scores import Scores, exif_applied

_RADIUS = 130


def radar_page(scores: Scores) -> str:
    """The charts, the photos as legend, the numbers and which CLIP-IQA made them, as one HTML file.

    Raises:
        CLIPIQAError: As :func:`~.radar_charts.charts_of`.
    """
    names = named(scores)
    photos = [
        {"path": path, "name": names[path], "colour": colour}
        for path, colour in zip(scores.frame.index, COLOURS, strict=False)
    ]
    return render(
        __package__,
        "radar.html.j2",
        title="Look and feel by CLIP-IQA",
        photos=photos,
        apply_exif=exif_applied(scores.provenance),
        charts=[_chart(scores, title, questions) for title, questions in charts_of(scores).items()],
        rows=[(question, scores.frame[question].tolist()) for question in scores.questions],
        failed=list(scores.failed.values()),
        provenance=in_words(scores.provenance),
    )


def _chart(scores: Scores, title: str, questions: Sequence[str]) -> dict[str, Any]:
    """What the template draws, in units of the chart, whose middle is (0, 0) and whose rim has a radius of 130."""
    rings = [
        {
            "corners": _joined(points([level] * len(questions), _RADIUS)),
            "label": f"{level:g}" if level in (0.5, 1.0) else "",
            "top": f"{-_RADIUS * level - 2:.1f}",
        }
        for level in (0.25, 0.5, 0.75, 1.0)
    ]
    rim = points([1] * len(questions), _RADIUS)
    shapes = []
    for colour, (path, row) in zip(COLOURS, scores.frame[list(questions)].iterrows(), strict=False):
        corners = points(row.tolist(), _RADIUS)
        dots = [
            {"x": f"{x:.1f}", "y": f"{y:.1f}", "said": f"{path}: {question} {value:.4f}"}
            for (x, y), question, value in zip(corners, questions, row, strict=True)
        ]
        shapes.append({"colour": colour, "corners": _joined(corners), "dots": dots})
    spokes = [_spoke(x, y, question) for (x, y), question in zip(rim, questions, strict=True)]
    return {"title": title, "rings": rings, "spokes": spokes, "shapes": shapes}


def _spoke(x: float, y: float, question: str) -> dict[str, Any]:
    """A spoke that ends at (x, y), and its label beyond the rim."""
    lines = said_of(question).split("\n")
    top = y * 1.12 + (4 if abs(y) < 0.9 * _RADIUS else 10 if y > 0 else -4 - 11 * (len(lines) - 1))
    return {
        **{"x": f"{x:.1f}", "y": f"{y:.1f}", "top": f"{top:.1f}", "left": f"{x * 1.1:.1f}", "lines": lines},
        "anchor": "middle" if abs(x) < 1 else "start" if x > 0 else "end",
    }


def _joined(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
