"""Results of a comparison of metrics on data sets, as tables, files, pictures and a page."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas

from ..datasets.data_sets import DataSet
from ..files.locking import locked
from ..files.names import file_name, one_line
from ..files.writing import check_folder, write_text
from ..report.table import console_table, csv_table, latex_document, markdown_list, markdown_table
from ..stats.bootstrap import Estimate
from .data_set_results import CORRELATIONS, DataSetResult, MetricResult
from .page import report_page
from .pictures import save_pictures
from .summary import build_tables, key_lines, legend, provenance_lines, skipped_lines

__all__ = ["Comparison", "DataSetResult", "MetricResult", "check_results"]
_WIDE = 10  # columns of a table that a console has room for


@dataclass(frozen=True)
class Comparison:
    """Metrics side by side on data sets.

    Attributes:
        data_sets: In the order asked for.
        settings: Versions, machine, seeds, command: whatever else the numbers depend on.
    """

    data_sets: tuple[DataSetResult, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every metric scored every image of every data set."""
        return not any(d.skipped or any(m.error or m.note for m in d.metrics.values()) for d in self.data_sets)

    def frame(self) -> pandas.DataFrame:
        """One row per data set and metric, in order.

        Columns: data_set, metric, n, direction, range; SROCC, SROCC low, SROCC high and so for PLCC, KRCC and, where
        asked for, PLCC fitted and RMSE fitted; seconds per image; published SROCC, SROCC difference (ours less
        published) and so for PLCC and KRCC; source; note, why a cell is empty.
        """
        return pandas.DataFrame([_row(data, label) for data in self.data_sets for label in data.metrics])

    def differences(self) -> pandas.DataFrame:
        """One row per data set and pair of metrics: SROCC of the first less that of the second, and its p-values."""
        heads = ("data_set", "first", "second", "n", "SROCC difference", "low", "high", "p", "p Holm", "significant")
        rows = []
        for data in self.data_sets:
            for pair in data.pairs:
                apart = pair.srocc
                numbers = (pair.n, apart.value, apart.low, apart.high, apart.p, pair.p_holm, pair.significant)
                rows.append((data.name, pair.first, pair.second, *numbers))
        return pandas.DataFrame(rows, columns=list(heads))

    def table(self, format: str = "table") -> str:
        """All tables as text: ``'table'`` for a console, ``'csv'``, ``'markdown'`` or ``'latex'``.

        The CSV is :meth:`frame` in full precision after ``# …`` lines: ``pandas.read_csv(file, comment='#')``. In LaTeX
        stands in comments what captions have no room for.
        """
        reading, tables = legend(self.data_sets), build_tables(self.data_sets)
        settings, exactly = key_lines(self.settings), provenance_lines(self.data_sets)
        if format == "csv":
            notes = [(data, [data.note] * bool(data.note) + skipped_lines(data.skipped)) for data in self.data_sets]
            about = [f"{data.name}: {line}" for data, lines in notes for line in lines]
            return csv_table(self.frame(), [*reading, *settings, *exactly, *about])
        if format == "latex":
            return latex_document(tables, [*settings, *exactly])
        if format == "markdown":
            blocks = ["# Metrics compared", markdown_list(reading), *map(markdown_table, tables)]
            blocks += ["## Which metrics exactly", markdown_list(exactly)]
            blocks += ["## Settings", markdown_list(settings)] * bool(settings)
        else:
            marks = "* highest of its column (of RMSE the lowest), or better by more than chance; ▼ worse"
            blocks = ["\n".join(f"# {one_line(line)}" for line in [*reading, marks])] * bool(reading)
            blocks += [console_table(table) for table in tables if len(table.columns) <= _WIDE]
        return "\n\n".join(filter(None, blocks)) + "\n"

    def save(self, folder: str | Path, *, report: bool = True, overwrite: bool = False, pictures: str = "png") -> None:
        """Write everything: tables, scores and, unless told otherwise, pictures and the HTML report.

        Args:
            folder: Made if need be. ``comparison.csv``, ``.md`` and ``.tex`` hold the tables, ``differences.csv``
                every pair of metrics, ``scores/`` a Parquet file per data set, ``pictures/`` pictures, ``report.html``
                all.
            report: Whether to write the last two.
            pictures: ``'png'``, ``'svg'`` or ``'pdf'``.
            overwrite: Replace files of these names that are there; those of the run that made ``folder`` always are.

        Raises:
            OutputError: A file cannot be written, or is there already.
        """
        folder = check_results(folder, self.data_sets, overwrite=overwrite)
        with locked(folder):
            for format, suffix in (("csv", "csv"), ("markdown", "md"), ("latex", "tex")):
                write_text(folder / f"comparison.{suffix}", self.table(format))
            lines = ["SROCC of the first less that of the second, by a paired bootstrap"]
            write_text(folder / "differences.csv", csv_table(self.differences(), lines))
            for data in self.data_sets:
                data.save_scores(folder / "scores")
            if report:
                write_text(folder / "report.html", report_page(self.data_sets, self.settings))
                save_pictures(self.data_sets, folder / "pictures", pictures)


def check_results(folder: str | Path, data_sets: Iterable[DataSet | DataSetResult], *, overwrite: bool = False) -> Path:
    """Return the folder of a comparison, made if need be, in which only files of an earlier comparison are replaced.

    Args:
        folder: One whose ``parts/`` hold scores is of an earlier comparison, and so are the results in it.
        data_sets: Whose results will be there; images and tables of theirs are never replaced.
        overwrite: Replace what else is there.

    Raises:
        OutputError: A file cannot be written, or is there already.
    """
    folder, data_sets = Path(folder).expanduser(), list(data_sets)
    names = [f"comparison.{suffix}" for suffix in ("csv", "md", "tex")] + ["differences.csv", "report.html"]
    names += [f"scores/{file_name(data.name)}.parquet" for data in data_sets]
    beginnings = ("bars.", *(f"{file_name(data.name)}-" for data in data_sets))
    names += [f"pictures/{path.name}" for path in folder.glob("pictures/*.*") if path.name.startswith(beginnings)]
    ours = any(folder.glob("parts/*/rank*.jsonl"))
    inputs: list[str] = []
    for data in data_sets:
        inputs += list(data.scores.index) if isinstance(data, DataSetResult) else [*data.paths, data.table]
    there = [name for name in names if os.path.lexists(folder / name)]
    folder = check_folder(folder, there, overwrite=overwrite, ours=lambda _: ours, inputs=inputs)
    check_folder(folder / "scores", ())
    return folder


def _row(data: DataSetResult, label: str) -> dict[str, Any]:
    metric, published = data.metrics[label], data.published(label)
    row: dict[str, Any] = {
        "data_set": data.name,
        "metric": label,
        "n": int(data.scores[label].notna().sum()),
        "direction": metric.direction,
        "range": metric.score_range,
    }
    unknown = dict.fromkeys(data.statistics, Estimate(math.nan))
    for name, estimate in data.estimates.get(label, unknown).items():
        row |= {name: estimate.value, f"{name} low": estimate.low, f"{name} high": estimate.high}
    row["seconds per image"] = metric.seconds_per_image
    for name in CORRELATIONS:
        value = published[name] if published else math.nan
        row |= {f"published {name}": value, f"{name} difference": row[name] - value}
    row["source"] = published.source if published else ""
    without = "no opinion scores, so no correlation" if data.mos is None else ""
    row["note"] = "; ".join(filter(None, (data.reason(label), without)))
    return row
