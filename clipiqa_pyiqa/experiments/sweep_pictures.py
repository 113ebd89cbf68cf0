"""Pictures of a sweep: curves with their spread, which question answers which change, and one picture in all steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..report.contact_sheet import contact_sheet, headed, wrapped
from ..report.plotting import COLOURS, INK, STYLE, WORDS
from .attribute_sweep import Sweep, Version, changed, scaled
from .picture_changes import CHANGES

if TYPE_CHECKING:
    import pandas
    from PIL import Image


@matplotlib.rc_context(STYLE)
def curves(sweep: Sweep) -> Figure:
    """Score against amount, one panel per change, one curve per scale: mean over the pictures, 10-90 % as a band.

    The last panel says how every question answers every change.
    """
    panels = len(sweep.changes) + 1
    columns = min(3, panels)
    rows = math.ceil(panels / columns)
    height = 2.9 + 0.16 * len(sweep.scales)  # of a panel with its legend
    figure = Figure(figsize=(3.5 * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    mean = sweep.summary().set_index(["change", "scale"])["mean Spearman"]
    for panel, change in zip(axes, sweep.changes, strict=False):
        _curves(panel, sweep, change, mean[change])
    _crosstalk(axes[panels - 1], sweep)
    pictures = sweep.frame["path"].nunique()
    said = f"Mean of {pictures} pictures; band: the middle 80 % of them" if pictures > 1 else "One picture"
    figure.suptitle(said, fontsize=10)
    for panel in axes[panels:]:
        panel.set_axis_off()
    return figure


def _curves(axes: Axes, sweep: Sweep, change: str, spearman: pandas.Series) -> None:
    for colour, scale in zip(COLOURS * len(sweep.scales), sweep.scales, strict=False):
        steps = sweep._steps(change, scale).groupby("amount", sort=False)[change]
        amounts = np.array([amount for amount, _ in steps])
        low, high = (steps.quantile(q).to_numpy() for q in (0.1, 0.9))
        axes.fill_between(amounts, low, high, color=colour, alpha=0.15, linewidth=0)
        said = f"scale {scale:g}: mean Spearman {spearman[scale]:.3f}".replace("nan", "undefined")
        axes.plot(amounts, steps.mean(), color=colour, linewidth=2, marker="o", markersize=3.5, label=said)
    if CHANGES[change].first > CHANGES[change].last:
        axes.invert_xaxis()  # the attribute grows to the right
    axes.set_ylim(-0.02, 1.02)
    axes.set_title(change)
    axes.set_xlabel(CHANGES[change].unit, fontsize=8)
    axes.set_ylabel(f"{change} score")
    # below the panel, clear of its ticks and label
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4)


def _crosstalk(axes: Axes, sweep: Sweep) -> None:
    table = sweep.crosstalk()
    axes.imshow(table.to_numpy(), vmin=-1, vmax=1, cmap="RdBu", alpha=0.8, aspect="auto")
    words = [wrapped(question, 16, lines=2) for question in table.columns]
    axes.set_xticks(range(table.shape[1]), words, rotation=40, ha="right", fontsize=8, **WORDS)
    axes.set_yticks(range(table.shape[0]), table.index, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("question", fontsize=8)
    axes.set_ylabel("change", fontsize=8)
    for row, column in np.ndindex(table.shape):
        value = table.iat[row, column]
        if table.index[row] == table.columns[column]:  # the change's own question
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=1.6))
        text = "–" if math.isnan(value) else f"{value:.2f}"
        ink = "white" if abs(value) > 0.75 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=ink)
    axes.set_title("mean Spearman of every question\nwith every change")


def example(sweep: Sweep, path: str | None = None) -> Image.Image:
    """One picture in all steps of all changes, the score and the amount below each, as in the paper's Fig. 4.

    Args:
        sweep: The scores.
        path: Which picture; default the first.
    """
    path = path or str(sweep.frame["path"].iloc[0])
    scale = sweep.scales[0]
    rows = sweep.frame[(sweep.frame["path"] == path) & (sweep.frame["scale"] == scale)]
    picture = scaled(path, scale, **sweep.limits)
    sheets = {}
    for name, steps in rows.groupby("change", sort=False):
        change = CHANGES[str(name)]
        images = [changed(Version(path, scale, change, amount), picture, sweep.seed) for amount in steps["amount"]]
        captions = [f"{row[name]:.3f}\n({row['amount']:g})" for _, row in steps.iterrows()]
        sheet = contact_sheet(images, captions, columns=len(steps), side=192)
        sheets[f"{name} ({change.unit})"] = sheet
    return headed(sheets)
