"""The result of ``compare``, as tables, files and a page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas

from ..files.names import file_name
from ..files.writing import check_folder, locked
from ..report.report import Report
from ..report.table import csv_table
from ..results.formats import format_of
from ..results.results import Results
from ..scoring.engine import made
from .data_set_results import DataSetResult
from .summary import build_tables, legend, provenances

_MARKS = "* best of its column, or a difference that is larger than chance explains"
_TEXTS = {
    "comparison.csv": "csv",
    "comparison.md": "markdown",
    "comparison.tex": "latex",
    "report.html": "html",
}
OTHERS = (*_TEXTS, "differences.csv")
"""Names of the results beside the scores."""


def save(
    folder: str | os.PathLike[str],
    report: Report,
    files: Mapping[str, Any],
    stored: Mapping[str, Results],
    inputs: Iterable[str],
    overwrite: bool,
) -> Report:
    """Write a report, other files and files of scores; those of the run itself are replaced. Return the report."""
    place = made(folder, stored)
    is_own = any(each.output and each.output.path == place / name for name, each in stored.items())
    check_folder(place, [*report.texts, *files, *stored], overwrite=overwrite or is_own, inputs=inputs)
    with locked(place):
        report.save(place, files)
        for name, results in stored.items():
            results.write(place / name, format_of(place / name))
    return report


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
            pictures=self._plots,
            texts=_TEXTS,
            **look,
        )

    def _plots(self, shown: Callable[[str], str]) -> dict[str, Any]:
        from .plots import plots  # imports matplotlib

        return {data.name: plots(data, shown) for data in self.data_sets if data.mos is not None and data.scored}

    def table(self, format: str = "table", **look: Any) -> str:
        """Return all tables as text; formats as for :meth:`~clipiqa_pyiqa.report.report.Report.text`."""
        return self.report(**look).text(format)

    def save(self, folder: str | Path, *, overwrite: bool = False, **look: Any) -> Report:
        """Write the tables, ``differences.csv``, ``scores/NAME.parquet`` and ``report.html``; return the report.

        Args:
            overwrite: Replace existing files; results of this very run are always replaced.
            look: As for :meth:`table`.
        """
        inputs = [path for data in self.data_sets for path in data.scores.index]
        lines = ["The first metric's value minus the second metric's value, by a paired bootstrap"]
        files = {"differences.csv": csv_table(self.differences(), lines)}
        stored = {score_file(data.name): data.stored for data in self.data_sets if data.stored is not None}
        return save(folder, self.report(**look), files, stored, inputs, overwrite)


def score_file(data_set: str) -> str:
    return f"scores/{file_name(data_set)}.parquet"
