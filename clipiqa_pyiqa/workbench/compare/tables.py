"""The tables of ``compare``: correlations with people, between metrics, and published ones, with how to read them."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pandas import DataFrame

from ...text import counted, first_of
from ..opinions.published import CORRELATIONS, PAPER, PublishedRow, published_rows
from ..report.cell_texts import interval, number, p_value
from ..report.table import DAGGER, MINUS, Cell, Mark, Table, TableColumn, number_column, word_column
from ..stats.agreement import FITTED
from ..stats.correlation import MIN_IMAGES, STATISTICS
from ..stats.significance import LEVEL
from ..stats.within_groups import TOP, WITHIN
from .data_set_result import DataSetResult

_OF_METRICS = ("metric", "better", *STATISTICS, *FITTED, WITHIN, TOP, "n", "range", "ms/image")
_OF_DIFFERENCES = ("metrics", "difference [95 %, uncorrected]", "p (Holm)")
_PUBLISHED = [f"{name} published" for name in CORRELATIONS]
_OF_PUBLISHED = ("trained on", "source", "images", *_PUBLISHED, "not compared, because of")
HEADINGS = (*_OF_METRICS, *_OF_DIFFERENCES, *_OF_PUBLISHED)
"""Headings that tables may have beside names of metrics and data sets."""
_NOTES = {
    "PLCC": "PLCC is raw, without a fit, as pyiqa and the official code report it.",
    "pair accuracy": "Pair accuracy is the share of pairs of images that the metric orders as people do, among the "
    "pairs whose opinion scores differ by at least one standard deviation.",
    "PLCC fitted": "PLCC fitted is the PLCC after a logistic fit with {fit} parameters.",
    "RMSE fitted": "RMSE fitted is the error that remains after the fit, in the units of the opinion scores.",
    WITHIN: "SROCC within is the mean of the groups' SROCC; its interval resamples groups.",
    TOP: "Top-1 within is the share of groups whose best image by the metric is the best by opinion; its interval "
    "resamples groups.",
}
"""Statistic -> what a reader may not know of it."""
_MOST_COMPARED_ON_CONSOLE = 5  # metrics, of which every two are compared


def build_tables(results: Sequence[DataSetResult]) -> list[Table]:
    """Return the tables of all data sets, each data set's in a section of its own."""
    return [
        replace(table, section=data.name)
        for data in results
        for table_of in (_metrics_table, _agreement_table, _differences_table, _published_table)
        if (table := table_of(data))
    ]


def _metrics_table(data: DataSetResult) -> Table:
    """Return the table of metrics: their correlations with people, and what they are."""
    frame = data.frame
    before = [data.note] if data.note else []
    legend = []
    statistics = []
    if data.mos.empty:
        before.append("There are no opinion scores here, so no correlations.")
    else:
        if data.mos_lower_better:
            before.append("The opinion scores are DMOS: lower is better.")
        legend.append(
            "A positive correlation is good for every metric: scores of lower-better metrics, and DMOS, are negated "
            "before the correlation."
        )
        statistics = [_statistic_column(data, statistic) for statistic in data.statistics]
    columns = [
        word_column("metric", frame["metric"]),
        word_column("better", frame["direction"]),
        *statistics,
        number_column("n", frame["n"], 0),
        word_column("range", frame["range"].replace("", "–")),
        number_column("ms/image", 1000 * frame["seconds per image"], 1),
    ]
    all_reasons = {label: data.reason(label) for label in data.metrics}
    reasons = {label: reason for label, reason in all_reasons.items() if reason}
    if data.skipped:
        before.append(f"{counted(len(data.skipped), 'image')} left out of all metrics.")
        reasons["left out"] = f"{first_of(data.skipped.values(), 20)}."
    dagger_note = (
        f"{DAGGER} marks an SROCC, PLCC or KRCC below the best of its column by more than chance (p < {LEVEL} after "
        "Holm's correction, as in the differences); other statistics are not tested."
    )
    return Table(data.name, columns, before, reasons, legend, dagger_note=dagger_note)


def _agreement_table(data: DataSetResult) -> Table | None:
    """Return the table of how similarly metrics order the images; None for a single metric."""
    labels = data.scored
    if len(labels) < 2:
        return None
    correlations = data.oriented_scores[labels].corr("spearman", MIN_IMAGES)
    columns = [word_column("metric", labels), *(number_column(label, correlations[label], 2) for label in labels)]
    reading = "How similarly two metrics order the images; scores of lower-better metrics are negated first."
    return Table(f"{data.name}: SROCC between metrics", columns, [reading], is_heat_map=True)


def _differences_table(data: DataSetResult) -> Table | None:
    """Return the table of differences between metrics in each correlation; None without a bootstrap or a pair."""
    pairs = data.pairs
    if not data.bootstrap or pairs.empty:
        return None
    columns = [word_column("metrics", (pairs["first"] + MINUS + pairs["second"]).unique())]
    for statistic, rows in pairs.groupby("statistic", sort=False):
        columns += _difference_columns(statistic, rows)
    count = counted(len(columns[0].cells), "pair")
    before = [
        "Each difference is the first metric's value minus the second metric's value, on the images that both metrics "
        f"scored, with p from a paired bootstrap ({pairs['resamples'][0]:,} resamples).",
        f"In brackets: the 95 % interval of each difference alone. p is corrected by Holm's rule for {count} within "
        f"each statistic, so it may be above {LEVEL} beside an interval without 0. Where p < {LEVEL}, the difference "
        "is larger than chance explains.",
    ]
    on_console = ""
    if len({*pairs["first"], *pairs["second"]}) > _MOST_COMPARED_ON_CONSOLE:
        on_console = (
            f"A saved comparison has the differences of {count} of metrics, in differences.csv and report.html; "
            f"{counted(len(pairs[pairs['significant']]), 'difference')} in SROCC, PLCC and KRCC together are larger "
            "than chance explains."
        )
    return Table(f"{data.name}: differences", columns, before, on_console=on_console)


def _difference_columns(statistic: str, rows: DataFrame) -> list[TableColumn]:
    """Return the differences in a statistic with their intervals, and their p-values; ``rows``: as in ``pairs``."""
    lowest = np.maximum(2 / (rows["resamples"] + 1), 2.0 ** (1 - rows["n"]))
    rows = rows.assign(is_lowest=rows["p"] <= lowest)
    differences = []
    p_values = []
    for row in rows.to_dict("records"):
        gap = row["difference"]
        differences.append(Cell(number(gap, 3, "+"), interval(row["low"], row["high"]), gap))
        mark: Mark = "clear" if row["significant"] else ""
        p_values.append(Cell(p_value(row["p Holm"], row["is_lowest"]), value=row["p Holm"], mark=mark))
    notes = ["“p ≤” means that p cannot be lower with so many resamples and images."] if rows["is_lowest"].any() else []
    return [
        TableColumn("difference [95 %, uncorrected]", differences, group=statistic),
        TableColumn("p (Holm)", p_values, group=statistic, notes=notes),
    ]


def _published_table(data: DataSetResult) -> Table | None:
    """Return the table of published values on the data set, beside the computed ones; None if there are none."""
    if data.mos.empty:
        return None
    labels: dict[str, str] = {}
    for label, metric in data.metrics.items():
        labels.setdefault(metric.published_as, label)
    rows = published_rows(data.published_as, labels)
    if not rows:
        return None
    differences = [_why_not_compared(data, labels.get(row.metric, ""), row) for row in rows]
    columns = [
        word_column("metric", [{PAPER: "clipiqa", **labels}.get(row.metric, row.metric) for row in rows]),
        word_column("trained on", [row.trained_on or "–" for row in rows]),
        word_column("source", [row.source for row in rows]),
        word_column("images", [row.images_text for row in rows]),
    ]
    for statistic in CORRELATIONS:
        cells = []
        for row, difference in zip(rows, differences, strict=True):
            cells.append(_published_cell(data, labels.get(row.metric, ""), row, statistic, is_alike=not difference))
        columns.append(TableColumn(f"{statistic} published", cells))
    columns.append(word_column("not compared, because of", [difference or "–" for difference in differences]))
    reading = (
        "Beside a published value of a metric that is computed here is our value minus the published value, with ✓ if "
        "the published value lies in our interval: only on as many images of the same part of the data set, and with "
        "the same weights, CLIP's by their hash. Else the row says what differs. The paper's rows come first, then "
        "pyiqa's, then those of later judges, whose images the source names only as KonIQ-10k, LIVE-itW or SPAQ."
    )
    shown_labels = [labels[row.metric] for row in rows if row.metric in labels]
    reasons = {label: data.metrics[label].error for label in shown_labels if data.metrics[label].error}
    return Table(f"{data.name}: beside published values", columns, [reading], reasons)


def _why_not_compared(data: DataSetResult, label: str, row: PublishedRow) -> str:
    """Return why a published row is not compared; empty if it is."""
    if not label:
        return row.difference or "not in this run"
    return "no score: see below" if data.metrics[label].error else data.unlike_published(label, row)


def _published_cell(data: DataSetResult, label: str, row: PublishedRow, statistic: str, *, is_alike: bool) -> Cell:
    """Return a published value; if it is of the same images and weights, with our value minus it."""
    value = row.values[statistic]
    detail = ""
    if is_alike:
        ours = data.estimates[label][statistic]
        gap = ours.value - value
        if not math.isnan(gap):
            is_met = ours.low <= value <= ours.high
            detail = f"{number(gap, 3, '+')} ✓" if is_met else number(gap, 3, "+")
    return Cell(number(value), detail, value)


def _statistic_column(data: DataSetResult, statistic: str) -> TableColumn:
    """Return the column of a statistic, with marks on the best value and on values surely below it."""
    estimates = {label: of_metric[statistic] for label, of_metric in data.estimates.items()}
    sign = -1 if statistic.startswith("RMSE") else 1
    defined = [label for label, estimate in estimates.items() if not math.isnan(estimate.value)]
    best = max(defined, key=lambda label: sign * estimates[label].value, default="")
    # a best value that is alone, has a caveat or is not above 0 gets no mark
    has_best = len(defined) > 1 and estimates[best].value > 0 and not estimates[best].caveat
    pairs = data.pairs.query("significant and statistic == @statistic")
    # on the images that both metrics scored, which may be fewer, the other one may be ahead
    gains = sign * pairs["difference"]
    below = {
        *pairs["first"][(pairs["second"] == best) & (gains < 0)],
        *pairs["second"][(pairs["first"] == best) & (gains > 0)],
    }
    cells = []
    for label, estimate in estimates.items():
        mark: Mark = "best" if has_best and estimate.value == estimates[best].value else ""
        bounds = interval(estimate.low, estimate.high)
        cells.append(Cell(number(estimate.value), bounds, estimate.value, mark, has_dagger=label in below))
    return TableColumn(statistic, cells, "lower" if sign < 0 else "higher", notes=_notes_on(data, statistic))


def _notes_on(data: DataSetResult, statistic: str) -> list[str]:
    """Return how to read the column of a statistic, in sentences."""
    notes = ["No intervals: the bootstrap was switched off."]
    if data.bootstrap:
        notes = [
            f"In brackets: the 95 % bootstrap interval of each value alone ({data.bootstrap} resamples, seed "
            f"{data.seed})."
        ]
    if statistic in _NOTES:
        notes.append(_NOTES[statistic].format(fit=data.fit))
    return notes
