"""The result of ``compare``, as tables, files and a page."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas
from markupsafe import Markup
from matplotlib.figure import Figure

from ..files.names import below_common, file_name
from ..report.html import block, image, plot
from ..report.plotting import BLUE, ORANGE, STYLE, WORDS
from ..report.report import Report
from ..report.table import csv_table, number
from ..scoring.collected import save
from ..stats.correlation import fit_logistic
from .data_set_results import DataSetResult
from .summary import build_tables, legend, provenances

_POINTS = 400  # with more images, points are small, and a vector picture holds them as pixels
_WORST, _SIDE = 12, 160  # images that a metric ranks too high or too low, and their largest side in pixels


@matplotlib.rc_context(STYLE)
def scatter(data: DataSetResult, label: str) -> Figure:
    scores = data.scores[label].dropna()
    assert data.mos is not None
    mos, found = data.mos.loc[scores.index], data.estimates[label]
    figure = Figure(figsize=(3.6, 3.3), layout="constrained")
    axes = figure.subplots()
    is_large = len(scores) > _POINTS
    named = scores[named_points(data, label)]
    axes.scatter(named, mos[named.index], s=13, color=BLUE, alpha=0.55, linewidths=0)
    if is_large:
        axes.scatter(scores, mos, s=4, color=BLUE, alpha=0.25, linewidths=0, rasterized=True)
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


def named_points(data: DataSetResult, label: str) -> list[str]:
    """Return the images whose points show their names: all, or of many those that a metric misjudges most."""
    names, apart = list(data.scores[label].dropna().index), data.misjudged(label).index
    return names if len(names) <= _POINTS else [*apart[:_WORST], *apart[-_WORST:]]


def _plots(data: DataSetResult) -> Markup:
    assert data.mos is not None
    drawn, worst, shown = [], [], functools.cache(functools.partial(image, side=_SIDE))
    names, opinion = below_common(list(data.scores.index)), f", {'D' * data.mos_lower_better}MOS {{:.4g}}"
    for label in data.scored:
        points = [names[path] for path in named_points(data, label)]
        drawn.append(plot(scatter(data, label), f"Scores against opinion: {label} on {data.name}", points))
        numbers, apart = data.scores[label].map("{:.4g}".format) + data.mos.map(opinion.format), data.misjudged(label)
        ends = {"Ranked too high": apart[apart > 0][:_WORST], "Ranked too low": apart[apart < 0][::-1][:_WORST]}
        found = {end: [(names[path], shown(path), numbers[path]) for path in each.index] for end, each in ends.items()}
        worst.append((label, found))
    return block("plots", "Scores against opinion", drawn) + block("misjudged", worst)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 38)


_MARKS = "* best of its column, or a difference that is larger than chance explains"
_TEXTS = {
    "comparison.csv": "csv",
    "comparison.md": "markdown",
    "comparison.tex": "latex",
    "report.html": "html",
}
OTHERS = (*_TEXTS, "differences.csv")
"""Names of the results beside the scores."""


@dataclass(frozen=True)
class Comparison:
    """The results of metrics on data sets."""

    data_sets: tuple[DataSetResult, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return not any(d.skipped or any(m.error or m.note for m in d.metrics.values()) for d in self.data_sets)

    def frame(self) -> pandas.DataFrame:
        """Return a row per data set and metric.

        Columns: data_set, metric, n, direction, range; SROCC, SROCC low, SROCC high (likewise each statistic); seconds
        per image; published SROCC, SROCC difference (ours minus published, likewise each statistic); source; note.
        """
        return pandas.concat([data.frame for data in self.data_sets], ignore_index=True)

    def differences(self) -> pandas.DataFrame:
        """Return a row per data set, statistic and pair of metrics, with the first minus the second, and p-values."""
        found = [data for data in self.data_sets if len(data.pairs)] or self.data_sets
        pairs = pandas.concat({data.name: data.pairs for data in found}, names=["data_set", "pair"])
        return pairs.reset_index("data_set").reset_index(drop=True)

    def report(self, **look: Any) -> Report:
        """Return all tables with the sentences and plots that belong to them."""
        return Report(
            build_tables(self.data_sets),
            self.frame(),
            "compare",
            f"Image-quality metrics on {', '.join(data.name for data in self.data_sets)}",
            legend=legend(self.data_sets),
            marks=_MARKS,
            metrics=provenances(self.data_sets),
            settings=self.settings,
            pictures=lambda: {
                data.name: _plots(data) for data in self.data_sets if data.mos is not None and data.scored
            },
            texts=_TEXTS,
            **look,
        )

    def table(self, format: str = "table", **look: Any) -> str:
        """Return all tables as text; formats as for :meth:`~clipiqa_pyiqa.report.report.Report.text`."""
        return self.report(**look).text(format)

    def save(self, folder: str | Path, *, overwrite: bool = False, **look: Any) -> None:
        """Write the tables, ``differences.csv``, ``scores/NAME.parquet`` and ``report.html``.

        Args:
            overwrite: Replace existing files; results of this very run are always replaced.
            look: As for :meth:`table`.
        """
        inputs = [path for data in self.data_sets for path in data.scores.index]
        lines = ["The first metric's value minus the second metric's value, by a paired bootstrap"]
        files = {"differences.csv": csv_table(self.differences(), lines)}
        stored = {score_file(data.name): data.stored for data in self.data_sets if data.stored is not None}
        save(folder, self.report(**look), files, stored, inputs, overwrite)


def score_file(data_set: str) -> str:
    return f"scores/{file_name(data_set)}.parquet"
