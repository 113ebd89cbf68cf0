"""HTML page of a comparison, with scores against opinion as pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ..report.html import plot, render
from ..report.plotting import BLUE, ORANGE, STYLE, WORDS
from ..report.table import number
from ..stats.logistic import fit_logistic
from .data_set_results import DataSetResult
from .summary import legend, overview_table, provenances, tables_of

_POINTS = 400  # with more images, points are small, and a vector picture holds them as pixels


def report_page(results: Sequence[DataSetResult], settings: Mapping[str, str]) -> str:
    plots = {}
    for data in results:
        labels = [] if data.mos is None else data.scored
        plots[data.name] = [
            plot(scatter(data, label), f"Scores against opinion: {label} on {data.name}") for label in labels
        ]
    return render(
        __package__,
        "comparison.html.j2",
        title=f"Image-quality metrics on {', '.join(data.name for data in results)}",
        legend=legend(results),
        overview=overview_table(results),
        sections={data.name: tables_of(data) for data in results},
        plots=plots,
        provenances=provenances(results),
        settings=settings,
    )


@matplotlib.rc_context(STYLE)
def scatter(data: DataSetResult, label: str) -> Figure:
    scores = data.scores[label].dropna()
    assert data.mos is not None
    mos, found = data.mos.loc[scores.index], data.estimates[label]
    figure = Figure(figsize=(3.6, 3.3), layout="constrained")
    axes = figure.subplots()
    is_large = len(scores) > _POINTS
    size, alpha = (4, 0.25) if is_large else (13, 0.55)
    axes.scatter(scores, mos, s=size, color=BLUE, alpha=alpha, linewidths=0, rasterized=is_large)
    if reason := found["SROCC"].reason:
        lines = [f"no correlation: {reason}"]
    else:
        lines = [f"SROCC {number(found['SROCC'].value)}, PLCC {number(found['PLCC'].value)}, n = {len(scores)}"]
        try:
            curve, shape = fit_logistic(scores, mos, data.fit_parameters)
            across = np.linspace(scores.min(), scores.max(), 200)
            axes.plot(across, curve(across), color=ORANGE, linewidth=2, label=f"logistic fit, {shape}")
            axes.legend(loc="best", frameon=False, fontsize=7.5)
        except ValueError as error:
            lines.append(f"({error})")
    axes.set_title("\n".join(map(_wrapped, [label, *lines])), **WORDS)
    axes.set_xlabel(_wrapped(f"{label} score, {data.metrics[label].direction} is better"), **WORDS)
    axes.set_ylabel("DMOS, lower is better" if data.mos_lower_better else "MOS, higher is better")
    return figure


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 38)
