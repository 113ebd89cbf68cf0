"""Experiment of Fig. 1: the look and feel of images on radar charts."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from ...errors import CLIPIQAError
from ...machine import find_device
from ...options import lists_options
from ...prompts.pairs import Prompts
from ...text import printable
from ..files.shown_paths import below_common
from ..metrics.building import build_clipiqa
from ..options import SharedOptions
from ..report.fitted_text import fitted, wrapped
from ..report.pictures import COLOURS, INK, STYLE, WORDS, add_caption
from ..report.thumbnail import thumbnail
from ..results.columns import Column
from ..sources.finding import find_inputs
from .experiment_result import ExperimentResult
from .options import ExperimentOptions, Paths
from .questions import column_names, is_asked_defaults, metrics_with_questions, without_unknown
from .scoring import check_results_can_be_written, scored_images

CHARTS = {
    "look": ("quality", "brightness", "sharpness", "noisiness", "colorfulness", "contrast"),
    "feel": ("aesthetic", "happy", "natural", "new", "scary", "complex"),
}
"""The attributes of Fig. 1: quality perception (a) and abstract perception (b)."""
_ATTRIBUTES = [*CHARTS["look"], *CHARTS["feel"]]
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
        unknown: The paper's questions that are left out, as the CLIP never saw their words.
    """

    charts: Mapping[str, Sequence[str]]
    unknown: Sequence[str]

    def summary(self) -> pandas.DataFrame:
        """Return the scores, with a row per question and a column per image."""
        names = [printable(name) for name in below_common(list(self.frame.index)).values()]
        return self.frame.T.set_axis(names, axis=1).rename_axis("question").reset_index()

    def contents(self) -> dict[str, Any]:
        return {"radar.*": self.figure()}

    def notes(self) -> list[str]:
        return [self.note_on_unknown(", ".join(self.unknown))] if self.unknown else []

    @matplotlib.rc_context(STYLE)
    def figure(self) -> Figure:
        """Return the charts, below the photos, which are framed in the colours of their lines."""
        rows = math.ceil(len(self.frame) / _PER_ROW)
        figure = Figure(figsize=(4.6 * max(len(self.charts), 1.3), 4.3 + 1.3 * rows), layout="constrained")
        legend, spokes = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.3 * rows, 4.3]).ravel()
        self._draw_legend(legend, rows)
        polar = {"projection": "polar", "theta_offset": np.pi / 2, "theta_direction": -1}
        panels = spokes.subplots(1, len(self.charts), squeeze=False, subplot_kw=polar)[0]
        for axes, (title, questions) in zip(panels, self.charts.items(), strict=True):
            self._draw_chart(axes, questions)
            axes.set_title(title, loc="center", fontsize=11, pad=16)
        add_caption(figure, self.caption)
        return figure

    def _draw_chart(self, axes: Axes, questions: Sequence[str]) -> None:
        """Draw a spoke for each question, and a closed line for each image."""
        angles = np.linspace(0, 2 * np.pi, len(questions), endpoint=False)
        closed_angles = np.append(angles, angles[0])
        shares = self.shares()[list(questions)].to_numpy()
        for colour, shares_of_image in zip(COLOURS, shares, strict=False):
            closed_shares = np.append(shares_of_image, shares_of_image[0])
            axes.plot(closed_angles, closed_shares, color=colour, linewidth=2, marker="o", markersize=3.5)
            axes.fill(closed_angles, closed_shares, color=colour, alpha=0.05, linewidth=0)
        axes.set_ylim(0, 1)
        axes.set_yticks([0.25, 0.5, 0.75, 1], ["", "0.5", "", "1"], color="#7a7f87", fontsize=7.5)
        names = [wrapped(question.split("|")[0].removesuffix("."), 15) for question in questions]
        axes.set_xticks(angles, [_LABELS.get(name, name) for name in names], **WORDS)
        axes.tick_params(axis="x", pad=6)
        for label, angle in zip(axes.get_xticklabels(), angles, strict=True):
            label.set_horizontalalignment(_alignment(angle))
        axes.grid(color=_GREY, linewidth=0.8)
        axes.spines[:].set_color(_GREY)

    def _draw_legend(self, figure: SubFigure, rows: int) -> None:
        """Draw the photos, in the colours of their lines."""
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
            worst, best = _score_range(column)
            if column.lower_better:
                worst, best = best, worst
            frame[name] = (frame[name] - worst) / (best - worst)
        return frame.clip(0, 1)


def _score_range(column: Column) -> Sequence[float]:
    """Return the lowest and the highest possible score; a head's are those of people's."""
    return column.record.get("score_range", column.bounds)


def _alignment(angle: float) -> Literal["left", "center", "right"]:
    """Return the alignment that keeps the label of a spoke away from the rim."""
    side = math.sin(angle)
    if abs(side) < 0.1:
        return "center"
    return "left" if side > 0 else "right"


@lists_options(ExperimentOptions, of=SharedOptions)
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
        metric, template, options: As for :func:`~clipiqa_pyiqa.workbench.rank.ranking.rank`.
        prompts: At least three questions, with named metrics; by default the paper's questions whose words the CLIP
            knows. The range of each score must be closed; a head's is the range of people's scores.
    """
    files = find_inputs(paths, options.get("out"))
    if len(files) > MOST:
        raise CLIPIQAError(f"a radar chart shows at most {MOST} images; got {len(files)}.")
    metrics = metrics_with_questions(metric, prompts, template, _ATTRIBUTES)
    charts = dict[str, Sequence[str]]()
    unknown = list[str]()
    if is_asked_defaults(metrics, prompts, _ATTRIBUTES):
        check_results_can_be_written(_WRITTEN, _ATTRIBUTES, files, options)  # before weights are read
        clipiqa, unknown = without_unknown(build_clipiqa(metrics[0], find_device(options.get("device"))))
        metrics = [clipiqa]
        charts = _charts_without(unknown)
    names = column_names(metrics)
    if len(names) < 3:
        raise CLIPIQAError(f"a radar chart needs at least three questions; got {', '.join(names) or 'none'}.")
    scored = scored_images(metrics, files, _WRITTEN, options)
    for name, column in scored.scores.columns.items():
        if None in _score_range(column):
            raise CLIPIQAError(
                f"a radar chart needs scores between two ends, but those of {name!r} have none: leave it out."
            )
    result = RadarCharts(scored.frame, scored.failed, scored.provenance, scored.scores, charts or {"": names}, unknown)
    result.save_if_asked(options)
    return result


def _charts_without(unknown: Collection[str]) -> dict[str, Sequence[str]]:
    """Return the paper's charts without some questions; a chart that has no others is left out."""
    charts = dict[str, Sequence[str]]()
    for title, chart in CHARTS.items():
        known = [question for question in chart if question not in unknown]
        if known:
            charts[title] = known
    return charts
