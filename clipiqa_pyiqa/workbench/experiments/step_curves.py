"""The curves of Fig. 4: mean scores at the steps of each change."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..report.pictures import COLOURS, STYLE, add_caption
from .changes import CHANGES, Change

_LINE_STYLES = ("-", "--", ":", "-.")  # the first with all colours, then the next


class _Look(NamedTuple):
    """The look of a curve, which is the same in all panels."""

    line_style: str
    colour: str


@matplotlib.rc_context(STYLE)
def step_curves(
    frame: pandas.DataFrame, questions: Mapping[str, Sequence[str]], has_own_questions: bool, caption: str
) -> Figure:
    """Return a panel for each change, with a curve for each of its questions at each scale.

    Args:
        frame: As :attr:`~.attribute_sweep.Sweep.frame`.
        questions: Change -> the questions whose scores belong to it.
        has_own_questions: Whether each change is its own question, so that a panel's title names the question.
    """
    frames = frame.groupby("change", sort=False)
    figure = Figure(figsize=(3 * len(frames) + 1.5, 3), layout="constrained")
    panels = figure.subplots(1, len(frames), squeeze=False)[0]
    drawn_questions = list(dict.fromkeys(itertools.chain.from_iterable(questions.values())))
    labels = _labels(drawn_questions, frame["scale"].unique(), has_own_questions)
    looks = _looks(labels.values())
    for axes, (name, rows) in zip(panels, frames, strict=True):
        change = CHANGES[str(name)]
        for scale, rows_at_scale in rows.groupby("scale", sort=False):
            for question in questions[change.question]:
                label = labels[question, scale]
                _draw_curve(axes, rows_at_scale.groupby("amount", sort=False)[question], label, looks[label])
        _finish_panel(axes, change)
    if frame[drawn_questions].stack().between(0, 1).all():
        for axes in panels:
            axes.set_ylim(-0.02, 1.02)
    curves = {str(curve.get_label()): curve for axes in panels for curve in axes.get_lines()}
    figure.legend(curves.values(), curves.keys(), loc="outside right upper", frameon=False, fontsize=8)
    figure.suptitle(f"Mean of {frame['path'].nunique()} images; band: the middle 80 % of them", fontsize=10)
    add_caption(figure, caption)
    return figure


def _labels(questions: Iterable[str], scales: Iterable[float], has_own_questions: bool) -> dict[tuple[str, Any], str]:
    """Return question and scale -> label of the curve in the legend."""
    labels = dict[tuple[str, Any], str]()
    for scale, question in itertools.product(scales, questions):
        words = f"scale {scale:g}"
        labels[question, scale] = words if has_own_questions else f"{question}, {words}"
    return labels


def _looks(labels: Iterable[str]) -> dict[str, _Look]:
    """Return label -> look; beyond 32 labels, looks are used again."""
    looks = itertools.starmap(_Look, itertools.product(_LINE_STYLES, COLOURS))
    return dict(zip(dict.fromkeys(labels), itertools.cycle(looks), strict=False))


def _draw_curve(axes: Axes, scores_by_amount: pandas.api.typing.SeriesGroupBy, label: str, look: _Look) -> None:
    """Draw the mean score at each amount, in a band of the middle 80 % of the images."""
    means = scores_by_amount.mean()
    band = (scores_by_amount.quantile(0.1), scores_by_amount.quantile(0.9))
    axes.fill_between(means.index, *band, color=look.colour, alpha=0.15, linewidth=0)
    axes.plot(means, look.line_style, color=look.colour, linewidth=2, marker="o", markersize=3.5, label=label)


def _finish_panel(axes: Axes, change: Change) -> None:
    """Name a panel's axes, and let the attribute grow to the right."""
    if change.first > change.last:
        axes.invert_xaxis()
    axes.set(title=change.question, ylabel="score")
    axes.set_xlabel(change.unit, fontsize=8)
