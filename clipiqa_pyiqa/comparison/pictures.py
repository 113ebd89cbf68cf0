"""Pictures of a comparison: scores against opinion, and correlations between metrics."""

from __future__ import annotations

import math
import textwrap

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ..errors import CLIPIQAError
from ..report.plotting import BLUE, ORANGE, STYLE, WORDS, fading, subplots, width_in_inches
from ..report.table import number
from ..stats.logistic import fit_logistic
from .data_set_results import DataSetResult

_POINTS = 400  # with more images, points are small, and a vector picture holds them as pixels
_SIGNED = fading("signed", (ORANGE, 0.75), (ORANGE, 0.0), (BLUE, 0.0), (BLUE, 0.75))


@matplotlib.rc_context(STYLE)
def scatter(data: DataSetResult, label: str) -> Figure:
    """Return a plot of a metric's scores against opinion, with a logistic fit."""
    scores = data.scores[label].dropna()
    if data.mos is None or scores.empty:
        raise CLIPIQAError(f"{data.name!r} has no {'opinion' if data.mos is None else label} scores to draw.")
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
            curve, shape = fit_logistic(scores, mos)
            across = np.linspace(scores.min(), scores.max(), 200)
            axes.plot(across, curve(across), color=ORANGE, linewidth=2, label=f"logistic fit, {shape}")
            axes.legend(loc="best", frameon=False, fontsize=7.5)
        except ValueError as error:
            text += f"\n({error})"
    axes.set_title("\n".join(map(_wrapped, [label, *text.split("\n")])), **WORDS)
    axes.set_xlabel(_wrapped(f"{label} score, {data.metrics[label].direction} is better"), **WORDS)
    axes.set_ylabel("DMOS, lower is better" if data.mos_lower_better else "MOS, higher is better")
    return figure


@matplotlib.rc_context(STYLE)
def correlation_heatmap(data: DataSetResult) -> Figure:
    """Return a heat map of SROCC between metrics and opinion, all turned so that high is good."""
    table, names = data.oriented_scores[data.scored], data.scored
    if not names:
        raise CLIPIQAError(f"No metric has scores on {data.name!r}.")
    if data.oriented_mos is not None:
        table.insert(0, None, data.oriented_mos)
        names = ["opinion", *names]
    values = table.corr(method="spearman", min_periods=3).to_numpy()
    side, room = max(2.4, 0.44 * len(names)), max(0.0, width_in_inches(names) - 0.8)  # room for the longest label
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
    axes.set_aspect("equal", anchor="E")  # at the right, away from the labels
    axes.set_title("SROCC between metrics\nall turned so that high is good", fontsize=9)
    return figure


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 38)
