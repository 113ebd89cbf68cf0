"""HTML page of a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ..errors import counted
from ..files.names import one_line
from ..report.html import plot, render
from ..report.table import number
from ..stats.bootstrap import Estimate
from . import pictures
from .data_set_results import DataSetResult
from .summary import (
    data_set_table,
    difference_table,
    in_brackets,
    legend,
    overview_table,
    provenances,
    published_table,
    skipped_lines,
)

_SHOWN = 12  # pictures of each kind that are visible at first
_PLACES = 6  # most metrics under an image: those with the highest and lowest places
_LISTED = 500  # most skipped images that the page names


def report_page(results: Sequence[DataSetResult], settings: Mapping[str, str]) -> str:
    metrics = len({label for data in results for label in data.metrics})
    where = results[0].name if len(results) == 1 else f"{len(results)} data sets"
    return render(
        __package__,
        "comparison.html.j2",
        title=f"{counted(metrics, 'image-quality metric')} on {where}",
        findings=list(map(_finding, results)),
        legend=legend(results),
        overview=overview_table(results),
        sections=list(map(_section, results)),
        provenances=provenances(results),
        settings=settings,
        shown=_SHOWN,
        places=_PLACES,
    )


def _finding(data: DataSetResult) -> Markup:
    if data.mos is None:
        return _html("No human scores for <b>{}</b>: {} images with scores of metrics.", data.name, len(data.scores))
    found = {label: estimates["SROCC"] for label, estimates in data.estimates.items()}
    ranked = sorted((label for label in found if not found[label].reason), key=lambda label: -found[label].value)
    if not ranked:
        return _html("On <b>{}</b> no metric has a correlation with opinion; the table gives the reasons.", data.name)
    best, *others = ranked
    text = _html("On <b>{}</b> ({} images) ", data.name, data.scores[best].notna().sum())
    if found[best].value <= 0:
        words = "no metric agrees with people: the highest SROCC is that of <b>{}</b>, {}. "
        return text + _html(words, best, _value(found[best])) + "Are low opinion scores good in this data set?"
    text += _html("<b>{}</b> agrees best with people: SROCC {}", best, _value(found[best]))
    if not others:
        return text + "."
    text += _html(", then <b>{}</b> with {}.", others[0], _value(found[others[0]]))
    pair = next((pair for pair in data.pairs if {pair.first, pair.second} == {best, others[0]}), None)
    if pair is None or not data.bootstrap:
        return text
    verdict = "more than chance" if pair.significant else "not more than chance, so the order is not certain"
    return text + _html(" On the same images they differ by {:.3f}: {}.", abs(pair.srocc.value), verdict)


def _value(estimate: Estimate) -> Markup:
    text = f"{number(estimate.value)} {in_brackets(estimate)}".rstrip()
    return _html('<span class="whole">{}</span>', text.replace("-", "−"))


def _html(text: str, *values: object) -> Markup:
    # Markup escapes the values
    return Markup(text).format(*(one_line(value) if type(value) is str else value for value in values))


def _section(data: DataSetResult) -> dict[str, Any]:
    summaries, plots = [], []
    if data.scored and data.mos is not None:
        summaries.append(plot(pictures.bars([data]), f"Bars: SROCC of each metric with opinion on {data.name}"))
        values = {label: data.estimates[label]["SROCC"].value for label in data.scored}
        for label in sorted(values, key=lambda label: math.inf if math.isnan(values[label]) else -values[label]):
            plots.append(plot(pictures.scatter(data, label), f"Scores against opinion: {label} on {data.name}"))
    if len(data.scored) > 1:
        summaries.append(plot(pictures.correlation_heatmap(data), f"Heat map: SROCC between metrics on {data.name}"))
    return {
        "name": data.name,
        "table": data_set_table(data),
        "skipped": skipped_lines(data.skipped, _LISTED),
        "differences": difference_table(data),
        "published": published_table(data),
        "summaries": summaries,
        "plots": plots,
        "disagreements": data.disagreements(_SHOWN),
    }
