"""HTML page of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..report.html import plot, render
from . import pictures
from .data_set_results import DataSetResult
from .summary import data_set_table, difference_table, legend, overview_table, provenances, published_table


def report_page(results: Sequence[DataSetResult], settings: Mapping[str, str]) -> str:
    return render(
        __package__,
        "comparison.html.j2",
        title=f"Image-quality metrics on {', '.join(data.name for data in results)}",
        legend=legend(results),
        overview=overview_table(results),
        sections=list(map(_section, results)),
        provenances=provenances(results),
        settings=settings,
    )


def _section(data: DataSetResult) -> dict[str, Any]:
    plots = []
    for label in data.scored if data.mos is not None else ():
        plots.append(plot(pictures.scatter(data, label), f"Scores against opinion: {label} on {data.name}"))
    return {
        "table": data_set_table(data),
        "differences": difference_table(data),
        "published": published_table(data),
        "plots": plots,
    }
