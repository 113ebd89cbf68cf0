"""Plots of scores against opinions, and the images that a metric misjudges most."""

import functools
import os
import textwrap

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..files.shown_paths import below_common
from ..report.cell_texts import number
from ..report.html import block, image, plot
from ..report.labels import Relabelling
from ..report.pictures import BLUE, ORANGE, STYLE, WORDS
from ..stats.logistic import fit_logistic
from .data_set_result import DataSetResult

_POINTS = 400  # with more images, points are small, and a vector picture holds them as pixels
_WORST, _SIDE = 12, 160  # images that a metric ranks too high or too low, and their largest side in pixels
_wrapped = functools.partial(textwrap.fill, width=38)


@matplotlib.rc_context(STYLE)
def scatter(data: DataSetResult, label: str, relabelled: Relabelling = str) -> Figure:
    """Return a metric's scores against the opinions, with a fitted curve if there is one."""
    figure = Figure(figsize=(3.6, 3.3), layout="constrained")
    axes = figure.subplots()
    _draw_points(axes, data, label)
    lines = [relabelled(label)]
    estimates = data.estimates[label]
    if estimates["SROCC"].reason:
        lines.append(f"no correlation: {estimates['SROCC'].reason}")
    else:
        count = data.scores[label].count()
        lines.append(f"SROCC {number(estimates['SROCC'].value)}, PLCC {number(estimates['PLCC'].value)}, n = {count}")
        try:
            _draw_fit(axes, data, label)
        except ValueError as error:
            lines.append(f"({error})")
    axes.set_title("\n".join(map(_wrapped, lines)), **WORDS)
    direction = data.metrics[label].direction
    better = "which end is better is unknown" if direction == "unknown" else f"{direction} is better"
    axes.set_xlabel(_wrapped(f"{relabelled(label)} score, {better}"), **WORDS)
    axes.set_ylabel("DMOS, lower is better" if data.mos_lower_better else "MOS, higher is better")
    return figure


def _draw_points(axes: Axes, data: DataSetResult, label: str) -> None:
    """Draw a point for each image; those that show names come first."""
    scores = data.scores[label].dropna()
    mos = data.mos.loc[scores.index]
    named = scores[named_points(data, label)]
    axes.scatter(named, mos[named.index], s=13, color=BLUE, alpha=0.55, linewidths=0)
    if len(scores) > _POINTS:
        axes.scatter(scores, mos, s=4, color=BLUE, alpha=0.25, linewidths=0, rasterized=True)


def _draw_fit(axes: Axes, data: DataSetResult, label: str) -> None:
    """Draw a logistic curve through the points. Raises ``ValueError`` if none can be fitted."""
    scores = data.scores[label].dropna()
    curve, shape = fit_logistic(scores, data.mos.loc[scores.index], data.fit or 4)
    across = np.linspace(scores.min(), scores.max(), 200)
    axes.plot(across, curve(across), color=ORANGE, linewidth=2, label=f"logistic fit, {shape}")
    axes.legend(loc="best", frameon=False, fontsize=7.5)


def named_points(data: DataSetResult, label: str) -> list[str]:
    """Return the images whose points show names: all, or of many, those misjudged most."""
    names = list(data.scores[label].dropna().index)
    misjudged = data.misjudged(label).index
    return names if len(names) <= _POINTS else [*misjudged[:_WORST], *misjudged[-_WORST:]]


def plots(data: DataSetResult, relabelled: Relabelling) -> Markup:
    """Return HTML with a plot of each metric, and the images that it misjudges most."""
    names = below_common(list(data.scores.index))
    small = functools.cache(_thumbnail)
    unit = "DMOS" if data.mos_lower_better else "MOS"
    drawn = []
    misjudged = []
    for label in data.scored:
        about = f"Scores against opinion: {relabelled(label)} on {relabelled(data.name)}"
        drawn.append(plot(scatter(data, label, relabelled), about, [names[path] for path in named_points(data, label)]))
        gaps = data.misjudged(label)
        worst = {"Ranked too high": gaps[gaps > 0][:_WORST], "Ranked too low": gaps[gaps < 0][::-1][:_WORST]}
        images = {}
        for heading, chosen in worst.items():
            images[heading] = [
                (names[path], small(path), f"{data.scores.at[path, label]:.4g}, {unit} {data.mos[path]:.4g}")
                for path in chosen.index
            ]
        misjudged.append((relabelled(label), images))
    return block("plots", "Scores against opinion", drawn) + block("misjudged", misjudged)


def _thumbnail(path: str) -> Markup:
    """Return HTML that shows an image; nothing for one that does not exist, as all its scores were in files."""
    return image(path, side=_SIDE) if os.path.exists(path) else Markup("")
