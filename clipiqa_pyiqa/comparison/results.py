"""The result of ``compare``, as tables, files and a page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
import pandas
from markupsafe import Markup
from matplotlib.figure import Figure

from ..errors import CLIPIQAError
from ..files.names import file_name
from ..files.writing import check_folder, locked
from ..report.html import block, plot
from ..report.plotting import BLUE, ORANGE, STYLE, WORDS
from ..report.report import Report
from ..report.table import csv_table, number
from ..stats.correlation import fit_logistic
from .data_set_results import DataSetResult
from .outputs import check_result_folder
from .summary import build_tables, legend, provenances

_POINTS = 400  # with more images, points are small, and a vector picture holds them as pixels


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


def _plots(data: DataSetResult) -> Markup:
    drawn = [plot(scatter(data, label), f"Scores against opinion: {label} on {data.name}") for label in data.scored]
    return block("plots", "Scores against opinion", drawn)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 38)


_MARKS = "* best of its column, or a difference that is larger than chance explains"
_TEXTS = {
    "comparison.csv": "csv",
    "comparison.md": "markdown",
    "comparison.tex": "latex",
    "report.html": "html",
}


@dataclass(frozen=True)
class Comparison:
    """The results of metrics on data sets.

    Attributes:
        settings: Versions, machine, seeds.
    """

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
        """Return a row per data set and pair of metrics, with the first SROCC minus the second, and p-values."""
        found = [data for data in self.data_sets if len(data.pairs)] or self.data_sets
        pairs = pandas.concat({data.name: data.pairs for data in found}, names=["data_set", "pair"])
        return pairs.reset_index("data_set").reset_index(drop=True)

    def report(self) -> Report:
        """Return all tables with the sentences and plots that belong to them."""
        return Report(
            build_tables(self.data_sets),
            self.frame(),
            "compare",
            f"Image-quality metrics on {', '.join(data.name for data in self.data_sets)}",
            reading=legend(self.data_sets),
            marks=_MARKS,
            metrics=provenances(self.data_sets),
            settings=self.settings,
            pictures=lambda: {
                data.name: _plots(data) for data in self.data_sets if data.mos is not None and data.scored
            },
            texts=_TEXTS,
        )

    def table(self, format: str = "table") -> str:
        """Return all tables as text; formats as for :meth:`~clipiqa_pyiqa.report.report.Report.text`."""
        return self.report().text(format)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the tables, ``differences.csv``, ``scores/NAME.parquet`` and ``report.html``.

        Args:
            folder: Folder, created if missing.
            overwrite: Replace existing files; results of an earlier run in ``folder`` are always replaced.

        Raises:
            OutputError: A file cannot be written, or exists.
        """
        names = [data.name for data in self.data_sets]
        inputs = [path for data in self.data_sets for path in data.scores.index]
        folder = check_results(folder, names, inputs, overwrite=overwrite, resume=not overwrite)
        with locked(folder):
            lines = ["SROCC of the first metric minus SROCC of the second metric, by a paired bootstrap"]
            self.report().save(folder, {"differences.csv": csv_table(self.differences(), lines)})
            for data in self.data_sets:
                if data.stored is not None:
                    check_folder(folder / "scores")
                    data.stored.write(score_file(folder, data.name), "parquet")


def check_results(
    folder: str | Path, data_sets: Iterable[str], inputs: Iterable[str], *, overwrite: bool, resume: bool
) -> Path:
    stored = [score_file(Path(folder).expanduser(), name) for name in data_sets]
    if len({*stored}) < len(stored):
        raise CLIPIQAError("the names of two data sets differ only in punctuation: give one of them another label.")
    names = [*_TEXTS, "differences.csv"]
    return check_result_folder(folder, names, stored, inputs, overwrite=overwrite, resume=resume)


def score_file(folder: Path, data_set: str) -> Path:
    return folder / "scores" / f"{file_name(data_set)}.parquet"
