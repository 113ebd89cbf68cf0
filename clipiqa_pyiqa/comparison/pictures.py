"""Pictures of a comparison: scores against opinion, correlations as bars and as a heat map."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import CLIPIQAError
from ..files.names import one_line
from ..report.plotting import BLUE, INK, ORANGE, STYLE, WORDS, fading, subplots, width_in_inches
from ..report.table import number
from ..stats.logistic import fit_logistic
from .data_set_results import DataSetResult

_POINTS = 400  # with more images, points are small, and a vector picture holds them as pixels
_LONG = 60  # most letters of a label in a picture
_SIGNED = fading("signed", (ORANGE, 0.75), (ORANGE, 0.0), (BLUE, 0.0), (BLUE, 0.75))


@matplotlib.rc_context(STYLE)
def scatter(data: DataSetResult, label: str) -> Figure:
    """Return a plot of a metric's scores against opinion, with a logistic fit."""
    if data.mos is None:
        raise CLIPIQAError(f"{data.name!r} has no opinion scores, which a plot of scores against opinion needs.")
    scores = _scores(data, label)
    mos, found = data.mos.loc[scores.index], data.estimates[label]
    figure, axes = subplots(3.6, 3.3)
    is_large = len(scores) > _POINTS
    size, alpha = (4, 0.25) if is_large else (13, 0.55)
    axes.scatter(scores, mos, s=size, color=BLUE, alpha=alpha, linewidths=0, rasterized=is_large)
    if reason := found["SROCC"].reason:
        text = f"no correlation: {reason}"
    else:
        text = f"SROCC {number(found['SROCC'].value)}, PLCC {number(found['PLCC'].value)}, n = {len(scores)}"
        try:
            curve = fit_logistic(scores, mos, data.fit_parameters)
            across = np.linspace(scores.min(), scores.max(), 200)
            axes.plot(across, curve(across), color=ORANGE, linewidth=2, label=f"logistic fit, {curve.shape}")
            axes.legend(loc="best", frameon=False, fontsize=7.5)
        except ValueError as error:
            text += f"\n({error})"
    axes.set_title("\n".join(map(_wrapped, [_short(label), *text.split("\n")])), **WORDS)
    axes.set_xlabel(_score_axis(data, label), **WORDS)
    axes.set_ylabel("DMOS, lower is better" if data.mos_lower_better else "MOS, higher is better")
    return figure


@matplotlib.rc_context(STYLE)
def bars(results: Sequence[DataSetResult]) -> Figure:
    """Return bars of SROCC with interval and published value, a panel per data set."""
    rated = [data for data in results if data.mos is not None]
    if not rated:
        raise CLIPIQAError("No data set has opinion scores, so there are no correlations to draw.")
    heights = [len(data.metrics) * 0.3 + 0.75 for data in rated]
    width = 4.6 + _room([label for data in rated for label in data.metrics])
    figure = Figure(figsize=(width, sum(heights) + 0.1), layout="constrained")
    panels = figure.subplots(len(rated), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, data in zip(panels, rated, strict=True):
        _draw_bars(axes, data)
    return figure


def _draw_bars(axes: Axes, data: DataSetResult) -> None:
    found = {label: estimates["SROCC"] for label, estimates in data.estimates.items()}
    order = sorted(found, key=lambda label: -math.inf if math.isnan(found[label].value) else found[label].value)
    values, low, high = np.array([(found[label].value, found[label].low, found[label].high) for label in order]).T
    errors = np.abs([low - values, high - values])
    axes.barh(range(len(order)), values, xerr=errors, color=BLUE, alpha=0.6, ecolor=INK)
    for place, label in enumerate(order):
        if math.isnan(values[place]):
            text = "failed" if data.metrics[label].error else f"undefined: {found[label].reason}"
            axes.text(0.01, place, one_line(text), va="center", style="italic", fontsize=8, **WORDS)
        elif published := data.published(label):
            axes.plot(published.srocc, place, "D", color=ORANGE, markersize=5, label="published")
    axes.set_yticks(range(len(order)), list(map(_short, order)), **WORDS)
    axes.tick_params(left=False)
    axes.set_xlim(1.05 * np.nanmin([0.0, *values, *low]), 1.0)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_title(one_line(data.name), **WORDS)
    text = "SROCC, positive is good" + "; the line is the 95 % interval" * (data.bootstrap > 0)
    axes.set_xlabel(text, loc="right")  # to the right, the text may also reach below long labels
    if handles := axes.get_legend_handles_labels()[0]:
        axes.legend(handles=handles[:1], frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0)


@matplotlib.rc_context(STYLE)
def correlation_heatmap(data: DataSetResult) -> Figure:
    """Return a heat map of SROCC between metrics and opinion, all turned so that high is good."""
    table, names = data.oriented_scores[data.scored], list(map(_short, data.scored))
    if not names:
        raise CLIPIQAError(f"No metric has scores on {data.name!r}.")
    if data.oriented_mos is not None:
        table.insert(0, None, data.oriented_mos)
        names.insert(0, "opinion")
    values = table.corr(method="spearman", min_periods=3).to_numpy()
    side, room = max(2.4, 0.44 * len(names)), _room(names)
    figure, axes = subplots(side + 1.5 + room, side + 1.2 + 0.7 * room)
    axes.pcolormesh(np.ma.masked_invalid(values), cmap=_SIGNED, vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        text = "–" if math.isnan(value) else f"{value:.2f}"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8)
    ticks = np.arange(len(names)) + 0.5
    axes.set_xticks(ticks, names, rotation=40, ha="right", rotation_mode="anchor", **WORDS)
    axes.set_yticks(ticks, names, **WORDS)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.invert_yaxis()
    axes.set_aspect("equal", anchor="E")  # away from the labels
    axes.set_title("SROCC between metrics\nall turned so that high is good", fontsize=9)
    return figure


def _scores(data: DataSetResult, label: str) -> pandas.Series:
    scores = data.scores[label].dropna()
    if scores.empty:
        raise CLIPIQAError(f"{label!r} has no scores on {data.name!r}: {data.metrics[label].error or 'not scored'}")
    return scores


def _score_axis(data: DataSetResult, label: str) -> str:
    return _wrapped(f"{_short(label)} score, {data.metrics[label].direction} is better")


def _short(label: str) -> str:
    text = one_line(label)
    return text if len(text) <= _LONG else f"{text[: _LONG // 2 - 1]}…{text[-_LONG // 2 :]}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 38)


def _room(labels: Sequence[str]) -> float:
    """Return the extra width in inches that the longest label needs."""
    return max(0.0, width_in_inches([_short(label) for label in labels]) - 0.8)
