"""Result of a sweep: its tables, its curves, and one picture in all steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
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

    from .experiment import Content

TABLES = ("sweep.csv", "spearman.csv", "crosstalk.csv")


@dataclass(frozen=True)
class Sweep(ExperimentResult):
    """Scores of pictures that were changed in steps.

    Attributes:
        frame: One row per picture, scale, change and step: ``path``, ``scale``, ``width`` and ``height`` as scored,
            ``change``, ``step`` (0 has least of the attribute), ``amount``, then a column per question.
        questions: What was asked; the changes' own come first.
        failed: Pictures left out -> why.
        provenance: Which CLIP-IQA, and everything else that the scores depend on.
        seed: Of the noise.
        limits: How pictures were read: ``apply_exif``, ``max_side``, ``max_pixels``.
    """

    frame: pandas.DataFrame
    questions: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    limits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changes(self) -> list[str]:
        """The changes, in the order asked for."""
        return list(dict.fromkeys(self.frame["change"]))

    @property
    def scales(self) -> list[float]:
        """The input scales, in the order asked for."""
        return list(dict.fromkeys(self.frame["scale"]))

    def spearman(self) -> pandas.DataFrame:
        """Return Spearman's correlation of score with step: a row per picture, scale and change, a column per question.

        It is NaN where the score does not change at all, such as the colourfulness of a grey picture.
        """
        import pandas

        rows = []
        frame = self.frame.assign(path=[printable(path) for path in self.frame["path"]])
        for (path, scale, change), steps in frame.groupby(["path", "scale", "change"], sort=False):
            found = {question: srocc(steps["step"], steps[question]) for question in self.questions}
            rows.append({"path": path, "scale": scale, "change": change, **found})
        return pandas.DataFrame(rows)

    def summary(self) -> pandas.DataFrame:
        """Return one row per change and scale, about the change's own question.

        Columns: change; scale; images (whose score changes); constant (images whose score does not, which have no
        correlation); mean Spearman, its standard deviation over images, lowest Spearman; mean score at the first and
        the last step.
        """
        import pandas

        spearman = self.spearman()
        rows = []
        for change, scale in itertools.product(self.changes, self.scales):
            mine = spearman[(spearman["change"] == change) & (spearman["scale"] == scale)][change]
            steps = self._steps(change, scale).set_index("step")[change]
            row = {"change": change, "scale": scale, "images": mine.count(), "constant": mine.isna().sum()}
            row |= {"mean Spearman": mine.mean(), "spread": mine.std(), "lowest": mine.min()}
            rows.append(row | {"first step": steps.loc[0].mean(), "last step": steps.loc[steps.index.max()].mean()})
        return pandas.DataFrame(rows)

    def crosstalk(self) -> pandas.DataFrame:
        """Return mean Spearman over pictures and scales of every question with every change: changes by questions."""
        return self.spearman().groupby("change", sort=False)[list(self.questions)].mean()

    def contents(self) -> dict[str, Content]:
        tables = dict(zip(TABLES, (self.frame, self.spearman(), self.crosstalk()), strict=True))
        return {**tables, "sweep.png": self.curves(), "example.png": self.example()}

    @matplotlib.rc_context(STYLE)
    def curves(self) -> Figure:
        """Draw score against amount, one panel per change, one curve per scale: mean over pictures, 10-90 % as a band.

        The last panel says how every question answers every change.
        """
        panels = len(self.changes) + 1
        columns = min(3, panels)
        rows = math.ceil(panels / columns)
        height = 2.9 + 0.16 * len(self.scales)  # of a panel with its legend
        figure = Figure(figsize=(3.5 * columns, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        mean = self.summary().set_index(["change", "scale"])["mean Spearman"]
        for panel, change in zip(axes, self.changes, strict=False):
            self._draw_curves(panel, change, mean[change])
        _draw_crosstalk(axes[panels - 1], self.crosstalk())
        pictures = self.frame["path"].nunique()
        said = f"Mean of {pictures} pictures; band: the middle 80 % of them" if pictures > 1 else "One picture"
        figure.suptitle(said, fontsize=10)
        for panel in axes[panels:]:
            panel.set_axis_off()
        return figure

    def example(self) -> Image.Image:
        """Draw the first picture in all steps of all changes, score and amount below each, as in the paper's Fig. 4."""
        path, scale = str(self.frame["path"].iloc[0]), self.scales[0]
        rows = self.frame[(self.frame["path"] == path) & (self.frame["scale"] == scale)]
        picture = read_scaled(path, scale, **self.limits)
        sheets = {}
        for name, steps in rows.groupby("change", sort=False):
            change = CHANGES[str(name)]
            images = [change.apply(picture, amount, self.seed) for amount in steps["amount"]]
            captions = [f"{row[name]:.3f}\n({row['amount']:g})" for _, row in steps.iterrows()]
            sheets[f"{name} ({change.unit})"] = contact_sheet(images, captions, columns=len(steps), side=192)
        return headed(sheets)

    def _steps(self, change: str, scale: float) -> pandas.DataFrame:
        return self.frame[(self.frame["change"] == change) & (self.frame["scale"] == scale)]

    def _draw_curves(self, axes: Axes, change: str, spearman: pandas.Series) -> None:
        for colour, scale in zip(COLOURS * len(self.scales), self.scales, strict=False):
            steps = self._steps(change, scale).groupby("amount", sort=False)[change]
            amounts = np.array([amount for amount, _ in steps])
            low, high = (steps.quantile(q).to_numpy() for q in (0.1, 0.9))
            axes.fill_between(amounts, low, high, color=colour, alpha=0.15, linewidth=0)
            said = f"scale {scale:g}: mean Spearman {spearman[scale]:.3f}".replace("nan", "undefined")
            axes.plot(amounts, steps.mean(), color=colour, linewidth=2, marker="o", markersize=3.5, label=said)
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
        if table.index[row] == table.columns[column]:  # the change's own question
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=1.6))
        text = "–" if math.isnan(value) else f"{value:.2f}"
        ink = "white" if abs(value) > 0.75 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=ink)
    axes.set_title("mean Spearman of every question\nwith every change")
