"""Pictures of a comparison: scores against opinion."""

from __future__ import annotations

import textwrap

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ..report.plotting import BLUE, ORANGE, STYLE, WORDS, subplots
from ..report.table import number
from ..stats.logistic import fit_logistic
from .data_set_results import DataSetResult

_POINTS = 400  # with more images, points are small, and a vector picture holds them as pixels


@matplotlib.rc_context(STYLE)
def scatter(data: DataSetResult, label: str) -> Figure:
    scores = data.scores[label].dropna()
    assert data.mos is not None
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


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 38)
