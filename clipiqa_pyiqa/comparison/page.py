"""A comparison as one HTML file that a person reads, with every picture inside."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..errors import counted
from ..files.names import one_line
from ..files.writing import write_text
from ..report.html import plot, render
from ..report.table import number
from ..stats.bootstrap import Estimate
from . import pictures
from .differences import MetricPair
from .disagreement import disagreements
from .results import Comparison, DataSetResult
from .summary import (
    data_set_table,
    difference_table,
    in_brackets,
    legend,
    overview_table,
    provenances,
    published_table,
    skipped_count,
    skipped_reasons,
)

_SHOWN = 12  # pictures of each kind that are seen without unfolding more
_PLACES = 6  # metrics under an image; of more, the highest and the lowest
_LISTED = 500  # skipped images by name


def write_report(comparison: Comparison, path: str | Path) -> None:
    """Write a comparison as one self-contained HTML file.

    Args:
        comparison: What to tell.
        path: The file, replaced as a whole if it exists.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(path, report(comparison))


def report(comparison: Comparison) -> str:
    """The page that ``write_report`` writes."""
    return render(
        __package__,
        "comparison.html.j2",
        title=_title(comparison),
        findings=[_finding(data) for data in comparison.data_sets],
        legend=legend(comparison),
        overview=overview_table(comparison),
        sections=[_section(data) for data in comparison.data_sets],
        provenances=provenances(comparison),
        settings=comparison.settings,
        shown=_SHOWN,
        places=_PLACES,
    )


def _title(comparison: Comparison) -> str:
    metrics = len({label for data in comparison.data_sets for label in data.metrics})
    data_sets = len(comparison.data_sets)
    where = comparison.data_sets[0].name if data_sets == 1 else f"{data_sets} data sets"
    return f"{counted(metrics, 'image-quality metric')} on {where}"


def _finding(data: DataSetResult) -> Markup:
    """What came out on a data set, in one or two sentences."""
    if data.mos is None:
        said = "On <b>{}</b> nobody was asked: {} images with scores, none with an opinion to agree with."
        return _html(said, data.name, len(data.scores))
    found = {label: estimates["SROCC"] for label, estimates in data.estimates.items()}
    ranked = sorted((label for label in found if not found[label].reason), key=lambda label: -found[label].value)
    if not ranked:
        said = "On <b>{}</b> no metric could be correlated with opinion; the reasons are in its table."
        return _html(said, data.name)
    best, *others = ranked
    start = _html("On <b>{}</b> ({} images) ", data.name, data.scores[best].notna().sum())
    if found[best].value <= 0:
        said = "no metric ranks as people do: the highest SROCC is that of <b>{}</b>, {}. "
        return start + _html(said, best, _value(found[best])) + "Is a low opinion score good there?"
    start += _html("<b>{}</b> ranks most as people do: SROCC {}", best, _value(found[best]))
    if not others:
        return start + "."
    start += _html(", then <b>{}</b> with {}.", others[0], _value(found[others[0]]))
    pair = next((pair for pair in data.pairs if {pair.first, pair.second} == {best, others[0]}), None)
    return start + _certainty(pair, best) if pair is not None and data.bootstrap else start


def _certainty(pair: MetricPair, best: str) -> Markup:
    """Whether the order of two metrics is certain."""
    apart: Estimate = pair.srocc
    if pair.first != best:
        apart = Estimate(-apart.value, -apart.high, -apart.low)
    verdict = "more than chance" if pair.significant else "chance alone may do that, so that their order is not certain"
    return _html(" On the same images the first is ahead by {}: {}.", _value(apart), verdict)


def _value(estimate: Estimate) -> Markup:
    text = f"{number(estimate.value)} {in_brackets(estimate)}".rstrip()
    return _html('<span class="whole">{}</span>', text.replace("-", "−"))


def _html(text: str, *values: object) -> Markup:
    """HTML with values, which are escaped and stay on their line."""
    return Markup(text).format(*(one_line(value) if type(value) is str else value for value in values))


def _section(data: DataSetResult) -> dict[str, Any]:
    """What the template shows of a data set."""
    scored = [label for label in data.metrics if data.scores[label].notna().any()]
    return {
        "name": data.name,
        "table": data_set_table(data),
        "skipped": skipped_reasons(data.skipped, _LISTED),
        "skipped_count": skipped_count(data.skipped),
        "differences": difference_table(data),
        "published": published_table(data),
        "summaries": _summaries(data, scored) if scored else [],
        "plots_title": "Scores" if data.mos is None else "Scores against opinion",
        "plots": _plots(data, scored),
        "disagreements": disagreements(data, _SHOWN),
    }


def _summaries(data: DataSetResult, scored: list[str]) -> list[Markup]:
    drawn = []
    if data.mos is not None:
        alone = Comparison((data,))
        drawn.append(plot(pictures.bars(alone), f"Bars: SROCC of each metric with opinion on {data.name}"))
    if len(scored) > 1:
        drawn.append(plot(pictures.correlation_heatmap(data), f"Heat map: SROCC between metrics on {data.name}"))
    return drawn


def _plots(data: DataSetResult, scored: list[str]) -> list[Markup]:
    """Every metric's scores against opinion, the best first; the scores alone where there is no opinion."""
    if data.mos is None:
        return [plot(pictures.histogram(data, label), f"Histogram of {label} on {data.name}") for label in scored]
    values = {label: data.estimates[label]["SROCC"].value for label in scored}
    order = sorted(scored, key=lambda label: math.inf if math.isnan(values[label]) else -values[label])
    return [plot(pictures.scatter(data, label), f"Scores against opinion: {label} on {data.name}") for label in order]
