"""Result of a sweep: tables, curves and example pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..report.contact_sheet import contact_sheet, headed, wrapped
from ..report.plotting import COLOURS, INK, STYLE, WORDS
from ..scoring.rows import printable
from ..stats.correlation import srocc
from .experiment import ExperimentResult
from .picture_changes import CHANGES, read_scaled

if TYPE_CHECKING:
    import pandas
    from PIL import Image


TABLES = ("sweep.csv", "spearman.csv", "crosstalk.csv")


@dataclass(frozen=True)
class Sweep(ExperimentResult):
    """Scores of pictures that were changed in steps.

    Attributes:
        frame: One row per picture, scale, change and step: ``path``; ``scale``; ``width`` and ``height`` as scored;
            ``change``; ``step`` (0 has least of the attribute); ``amount``; one column per question.
        questions: Names of the questions; the changes' names come first.
    """

    frame: pandas.DataFrame
    questions: tuple[str, ...]
    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    seed: int
    limits: Mapping[str, Any]

    def spearman(self) -> pandas.DataFrame:
        """Return Spearman's correlation of score with step; NaN for constant scores."""
        import pandas

        rows = []
        frame = self.frame.assign(path=self.frame["path"].map(printable))
        for (path, scale, change), steps in frame.groupby(["path", "scale", "change"], sort=False):
            found = {question: srocc(steps["step"], steps[question]) for question in self.questions}
            rows.append({"path": path, "scale": scale, "change": change, **found})
        return pandas.DataFrame(rows)

    def summary(self) -> pandas.DataFrame:
        """Return one row per change and scale, for the question with the change's name.

        ``images`` counts images with changing scores, ``constant`` images with constant scores; ``spread`` is the
        standard deviation of Spearman's correlation.
        """
        import pandas

        spearman = self.spearman()
        rows = []
        for change, steps in self.frame.groupby("change", sort=False):
            for scale, scores in steps.groupby("scale", sort=False):
                found = spearman[(spearman["change"] == change) & (spearman["scale"] == scale)][change]
                means = scores.groupby("step")[change].mean()
                row = {"change": change, "scale": scale, "images": found.count(), "constant": found.isna().sum()}
                row |= {"mean Spearman": found.mean(), "spread": found.std(), "lowest": found.min()}
                rows.append(row | {"first step": means.iloc[0], "last step": means.iloc[-1]})
        return pandas.DataFrame(rows)

    def crosstalk(self) -> pandas.DataFrame:
        """Return the mean of Spearman's correlation: a row per change, a column per question."""
        return self.spearman().groupby("change", sort=False)[list(self.questions)].mean()

    def contents(self) -> dict[str, Any]:
        tables = dict(zip(TABLES, (self.frame, self.spearman(), self.crosstalk()), strict=True))
        return {**tables, "sweep.png": self.curves(), "example.png": self.example()}

    @matplotlib.rc_context(STYLE)
    def curves(self) -> Figure:
        """Return a figure of scores per change, and of the crosstalk."""
        changes = self.frame.groupby("change", sort=False)
        panels = len(changes) + 1
        columns = min(3, panels)
        rows = math.ceil(panels / columns)
        height = 2.9 + 0.16 * self.frame["scale"].nunique()  # of a panel with its legend
        figure = Figure(figsize=(3.5 * columns, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        spearman = self.summary().set_index(["change", "scale"])["mean Spearman"]
        for panel, (change, scores) in zip(axes, changes, strict=False):
            _draw_curves(panel, str(change), scores, spearman[change])
        _draw_crosstalk(axes[panels - 1], self.crosstalk())
        pictures = self.frame["path"].nunique()
        title = f"Mean of {pictures} pictures; band: the middle 80 % of them" if pictures > 1 else "One picture"
        figure.suptitle(title, fontsize=10)
        for panel in axes[panels:]:
            panel.set_axis_off()
        return figure

    def example(self) -> Image.Image:
        path, scale = self.frame["path"].iloc[0], self.frame["scale"].iloc[0]
        rows = self.frame[(self.frame["path"] == path) & (self.frame["scale"] == scale)]
        picture = read_scaled(path, scale, **self.limits)
        sheets = {}
        for name, steps in rows.groupby("change", sort=False):
            change = CHANGES[str(name)]
            images = [change.apply(picture, amount, self.seed) for amount in steps["amount"]]
            captions = [f"{row[name]:.3f}\n({row['amount']:g})" for _, row in steps.iterrows()]
            sheets[f"{name} ({change.unit})"] = contact_sheet(images, captions, columns=len(steps), side=192)
        return headed(sheets)


def _draw_curves(axes: Axes, change: str, scores: pandas.DataFrame, spearman: pandas.Series) -> None:
    by_scale = scores.groupby("scale", sort=False)
    for colour, (scale, rows) in zip(COLOURS * len(by_scale), by_scale, strict=False):
        steps = rows.groupby("amount", sort=False)[change]
        means = steps.mean()
        axes.fill_between(means.index, steps.quantile(0.1), steps.quantile(0.9), color=colour, alpha=0.15, linewidth=0)
        label = f"scale {scale:g}: mean Spearman {spearman[scale]:.3f}".replace("nan", "undefined")
        axes.plot(means, color=colour, linewidth=2, marker="o", markersize=3.5, label=label)
    if CHANGES[change].first > CHANGES[change].last:
        axes.invert_xaxis()  # the attribute grows to the right
    axes.set(ylim=(-0.02, 1.02), title=change, ylabel=f"{change} score")
    axes.set_xlabel(CHANGES[change].unit, fontsize=8)
    # below the panel, clear of its ticks and label
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4)


def _draw_crosstalk(axes: Axes, table: pandas.DataFrame) -> None:
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
        if table.index[row] == table.columns[column]:
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=1.6))
        text = "–" if math.isnan(value) else f"{value:.2f}"
        ink = "white" if abs(value) > 0.75 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=ink)
    axes.set_title("mean Spearman of every question\nwith every change")
