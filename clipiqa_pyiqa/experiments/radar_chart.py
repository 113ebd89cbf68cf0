"""Experiment of Fig. 1: the look and feel of images on radar charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import matplotlib
import numpy as np
import pandas
from matplotlib.figure import Figure, SubFigure

from ..errors import CLIPIQAError, checked, log
from ..files.printable import printable
from ..files.shown_text import below_common
from ..metric import find_device
from ..metrics.building import build
from ..prompts.pairs import Prompts
from ..report.pictures import COLOURS, INK, STYLE, WORDS, captioned, fitted, thumbnail, wrapped
from ..results.columns import Column
from ..sources.finding import find_inputs
from .experiment import (
    ExperimentOptions,
    ExperimentResult,
    Paths,
    asked,
    checked_output,
    column_names,
    score_files,
    without_unknown,
)

CHARTS = {
    "look": ("quality", "brightness", "sharpness", "noisiness", "colorfulness", "contrast"),
    "feel": ("aesthetic", "happy", "natural", "new", "scary", "complex"),
}
"""The attributes of Fig. 1: quality perception (a) and abstract perception (b)."""
MOST = len(COLOURS)  # most images on one chart: each image needs its own colour
_WRITTEN = ("radar.*",)
_PER_ROW = 4  # most photos in a row of the legend
_GREY = "#d5d8dd"
_LABELS = {"noisiness": "noisiness\n(rim: clean)"}


@dataclass(frozen=True)
class RadarCharts(ExperimentResult):
    """Scores for radar charts.

    Attributes:
        charts: Title -> questions of each chart.
    """

    charts: Mapping[str, Sequence[str]]

    def summary(self) -> pandas.DataFrame:
        """Return the scores, with a row per question and a column per image."""
        names = list(map(printable, below_common(list(self.frame.index)).values()))
        return self.frame.T.set_axis(names, axis=1).rename_axis("question").reset_index()

    def contents(self) -> dict[str, Any]:
        return {"radar.*": self.figure()}

    @matplotlib.rc_context(STYLE)
    def figure(self) -> Figure:
        rows = math.ceil(len(self.frame) / _PER_ROW)
        figure = Figure(figsize=(4.6 * max(len(self.charts), 1.3), 4.3 + 1.3 * rows), layout="constrained")
        photos, spokes = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.3 * rows, 4.3]).ravel()
        self._draw_legend(photos, rows)
        polar = {"projection": "polar", "theta_offset": np.pi / 2, "theta_direction": -1}
        panels = spokes.subplots(1, len(self.charts), squeeze=False, subplot_kw=polar)[0]
        for axes, (title, questions) in zip(panels, self.charts.items(), strict=True):
            angles = np.linspace(0, 2 * np.pi, len(questions), endpoint=False)
            around = np.append(angles, angles[0])
            for colour, scores in zip(COLOURS, self.shares()[list(questions)].to_numpy(), strict=False):
                values = np.append(scores, scores[0])
                axes.plot(around, values, color=colour, linewidth=2, marker="o", markersize=3.5)
                axes.fill(around, values, color=colour, alpha=0.05, linewidth=0)
            axes.set_ylim(0, 1)
            axes.set_yticks([0.25, 0.5, 0.75, 1], ["", "0.5", "", "1"], color="#7a7f87", fontsize=7.5)
            names = [wrapped(question.split("|")[0].removesuffix("."), 15) for question in questions]
            axes.set_xticks(angles, [_LABELS.get(name, name) for name in names], **WORDS)
            axes.tick_params(axis="x", pad=6)
            # keep the labels away from the rim
            for label, side in zip(axes.get_xticklabels(), np.sin(angles), strict=True):
                label.set_horizontalalignment("center" if abs(side) < 0.1 else "left" if side > 0 else "right")
            axes.grid(color=_GREY, linewidth=0.8)
            axes.spines[:].set_color(_GREY)
            axes.set_title(title, loc="center", fontsize=11, pad=16)
        return captioned(figure, self.caption)

    def _draw_legend(self, figure: SubFigure, rows: int) -> None:
        photos = below_common(list(self.frame.index))
        columns = min(max(len(photos), 3), _PER_ROW)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        width = 68 * figure.figure.get_figwidth() / columns  # of each photo, in points
        for axes in panels[len(photos) :]:
            axes.set_axis_off()
        for axes, colour, (path, name) in zip(panels, COLOURS, photos.items(), strict=False):
            axes.imshow(np.asarray(thumbnail(path, 240, self.provenance.get("apply_exif", True))))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color=colour, linewidth=3.5)
            axes.set_xlabel(fitted(name, width, 8), fontsize=8, color=INK, **WORDS)

    def shares(self) -> pandas.DataFrame:
        """Return the scores as shares of their ranges; 1 is the good end, also for what a head scores beyond it."""
        frame = self.frame.copy()
        for name, column in self.scores.columns.items():
            worst, best = _ends(column)[:: -1 if column.lower_better else 1]
            frame[name] = (frame[name] - worst) / (best - worst)
        return frame.clip(0, 1)


def _ends(column: Column) -> Sequence[float]:
    """Return both ends of a scale; a head's are those of people's."""
    return column.record.get("score_range", column.ends)


@checked
def radar(
    metric: Any,
    paths: Paths,
    prompts: Prompts = None,
    *,
    template: str | None = None,
    **options: Unpack[ExperimentOptions],
) -> RadarCharts:
    """Return scores for radar charts of the look and feel (Fig. 1).

    Args:
        metric, template, options: As for :func:`~.ranking.rank`.
        prompts: At least three questions, with named metrics; by default the paper's questions whose words the CLIP
            knows. The range of each score must be closed; a head's is the range of people's scores.
    """
    files = find_inputs(paths, options.get("out"))
    if len(files) > MOST:
        raise CLIPIQAError(f"a radar chart shows at most {MOST} images; got {len(files)}.")
    charts, attributes = dict[str, Sequence[str]](), [*sum(CHARTS.values(), ())]
    metrics = asked(metric, prompts, template, attributes)
    if prompts is None and column_names(metrics) == attributes:
        checked_output(_WRITTEN, attributes, files, **options)  # before weights are read
        first = build(metrics[0], find_device(options.get("device")))
        metric, unknown = without_unknown(first)
        metrics = [metric]
        if unknown:
            backbone = first.net.clip.weights.backbone
            log.warning(f"pairs left out, since {backbone} never saw their words: {', '.join(unknown)}")
        for title, chart in CHARTS.items():
            known = [name for name in chart if name not in unknown]
            if known:
                charts[title] = known
    names = column_names(metrics)
    if len(names) < 3:
        raise CLIPIQAError(f"a radar chart needs at least three questions; got {', '.join(names) or 'none'}.")
    charts = charts or {"": names}
    scores = score_files(metrics, files, _WRITTEN, **options)
    for name, column in scores.scores.columns.items():
        if None in _ends(column):
            raise CLIPIQAError(
                f"a radar chart needs scores between two ends, but those of {name!r} have none: leave it out."
            )
    return RadarCharts(**vars(scores), charts=charts).saved(options)
