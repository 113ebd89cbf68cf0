"""Tables of a comparison and the sentences around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..datasets.data_sets import PAPER, published_rows
from ..errors import counted
from ..report.table import Cell, Column, Mark, Table, interval, number, numbers, p_value, words
from ..results.columns import described
from ..stats.bootstrap import Estimate
from ..stats.correlation import MIN_IMAGES
from ..stats.paired_means import LEVEL
from .data_set_results import CORRELATIONS, DataSetResult

_LISTED = 20  # most skipped images that are named
_SIGN = (
    "A positive correlation is good for every metric: scores of lower-better metrics, and DMOS, are negated before the "
    "correlation."
)
_RAW = "PLCC is raw, without a fit, as pyiqa and the official code report it"
_FIT = (
    "; PLCC fitted is the PLCC after a logistic fit with {} parameters, and RMSE fitted is the remaining error in the "
    "units of the opinion scores"
)
_PAIRS = (
    "Pair accuracy is the share of pairs of images that the metric orders as people do, among the pairs whose opinion "
    "scores differ by at least one standard deviation."
)
_WITHIN = (
    "SROCC within is the mean of the groups' SROCC, top-1 within the share of groups whose best image by the metric is "
    "the best by opinion; their intervals resample groups."
)
_PUBLISHED = (
    "Beside a published value of a metric that is computed here is our value minus the published value, with ✓ if the "
    "published value lies in our interval. Where the images are given by a set's name alone (KonIQ-10k), the source "
    "does not say their size and split."
)
_SURE = (
    f"† marks an SROCC, PLCC or KRCC below the best of its column by more than chance (p < {LEVEL}, as in the "
    "differences); other statistics are not tested."
)
_BETWEEN = "How similarly two metrics order the images; scores of lower-better metrics are negated first."


def legend(results: Sequence[DataSetResult]) -> list[str]:
    rated = next((data for data in results if data.mos is not None), None)
    if rated is None:
        return []
    intervals = "No intervals: the bootstrap was switched off."
    if rated.bootstrap:
        intervals = f"In brackets: the 95 % bootstrap interval ({rated.bootstrap} resamples, seed {rated.seed})."
    within = [_WITHIN] if any(data.groups for data in results) else []
    fit = _FIT.format(rated.fit_parameters) if rated.plcc_fit else ""
    return [_SIGN, intervals, f"{_RAW}{fit}.", _PAIRS, *within]


def build_tables(results: Sequence[DataSetResult]) -> list[Table]:
    makers = (_metrics, _agreement, _differences, _published)
    return [replace(table, section=data.name) for data in results for make in makers if (table := make(data))]


def _metrics(data: DataSetResult) -> Table:
    frame = data.frame
    before, statistics = [data.note] if data.note else [], []
    if data.mos is None:
        before.append("There are no opinion scores here, so no correlations.")
    else:
        if data.mos_lower_better:
            before.append("The opinion scores are DMOS: lower is better.")
        statistics = [_estimates(data, statistic) for statistic in data.statistics]
    columns = [
        words("metric", frame["metric"]),
        words("better", frame["direction"]),
        *statistics,
        numbers("n", frame["n"], 0),
        words("range", frame["range"].replace("", "–")),
        numbers("ms/image", 1000 * frame["seconds per image"], 1),
    ]
    reasons = {label: reason for label in data.metrics if (reason := data.reason(label))}
    left_out = []
    if data.skipped:
        left_out = [f"{counted(len(data.skipped), 'image')} left out of all metrics:"]
        left_out += [f"  {why if path in why else f'{path}: {why}'}" for path, why in data.skipped.items()][:_LISTED]
        if len(data.skipped) > _LISTED:
            left_out.append(f"  … and {len(data.skipped) - _LISTED} more")
    return Table(data.name, columns, before, reasons, left_out, [_SURE])


def _agreement(data: DataSetResult) -> Table | None:
    labels = data.scored
    if len(labels) < 2:
        return None
    found = data.oriented_scores[labels].corr("spearman", MIN_IMAGES)
    columns = [words("metric", labels), *(numbers(label, found[label], 2) for label in labels)]
    return Table(f"{data.name}: SROCC between metrics", columns, [_BETWEEN], is_heat_map=True)


def _differences(data: DataSetResult) -> Table | None:
    pairs = data.pairs
    if not data.bootstrap or pairs.empty:
        return None
    resamples = pairs["resamples"][0]
    names = pairs["first"] + " − " + pairs["second"]
    columns = [words("metrics", dict.fromkeys(names))]
    for statistic, rows in pairs.groupby("statistic", sort=False):
        chances = [
            Cell(p_value(p, p_alone <= 2 / (resamples + 1)), value=p, mark="gain" if is_sure else "")
            for p, p_alone, is_sure in zip(rows["p Holm"], rows["p"], rows["significant"], strict=True)
        ]
        intervals = map(interval, rows["low"], rows["high"])
        apart = numbers("difference", rows["difference"], 3, intervals, sign="+")
        columns += [replace(apart, group=statistic), Column("p", chances, group=statistic)]
    reading = (
        "Each difference is the first metric's value minus the second metric's value, on the images that both metrics "
        f"scored. Its p-value is from a paired bootstrap ({resamples:,} resamples), corrected by Holm's rule for "
        f"{counted(len(columns[0].cells), 'pair')} within each statistic; “p ≤” means that p cannot be lower with so "
        f"many resamples. Marked differences (p < {LEVEL}) are larger than chance explains."
    )
    return Table(f"{data.name}: differences", columns, [reading])


def _published(data: DataSetResult) -> Table | None:
    ours = {data.metrics[label].published_as: label for label in reversed(data.scored)}
    rows = [] if data.mos is None else published_rows(data.published_as, ours)
    if not rows:
        return None
    rows.sort(key=lambda row: row["metric"] not in ours)
    names = [{PAPER: "clipiqa", **ours}.get(row["metric"], row["metric"]) for row in rows]
    columns = [words("metric", names)]
    columns += [words(name, [row[name.replace(" ", "_")] or "–" for row in rows]) for name in ("trained on", "source")]
    columns.append(words("images", [row["data_set"] for row in rows]))
    for statistic in CORRELATIONS:
        cells = []
        for name, row in zip(names, rows, strict=True):
            value = float(row[statistic] or "nan")
            found = data.estimates.get(name, {}).get(statistic, Estimate(math.nan))
            gap, is_met = found.value - value, found.low <= value <= found.high
            detail = "" if math.isnan(gap) else number(gap, 3, "+") + " ✓" * is_met
            cells.append(Cell(number(value), detail, value))
        columns.append(Column(f"{statistic} published", cells))
    return Table(f"{data.name}: beside published values", columns, [_PUBLISHED])


def provenances(results: Sequence[DataSetResult]) -> dict[str, dict[str, str]]:
    # the first data set with the label wins
    metrics = {label: metric for data in reversed(results) for label, metric in data.metrics.items()}
    return {label: described([metrics[label].column]) for data in results for label in data.metrics}


def _estimates(data: DataSetResult, statistic: str) -> Column:
    # the best value gets no mark if it is alone, has a caveat or is not above 0
    found = {label: estimates[statistic] for label, estimates in data.estimates.items()}
    sign = -1 if statistic.startswith("RMSE") else 1
    defined = [label for label, each in found.items() if not math.isnan(each.value)]
    best = max(defined, key=lambda label: sign * found[label].value, default="")
    is_sure = len(defined) > 1 and found[best].value > 0 and not found[best].caveat
    rivals = data.pairs[data.pairs["significant"] & (data.pairs["statistic"] == statistic)][["first", "second"]]
    below = {*rivals[rivals.eq(best).any(axis=1)].to_numpy().ravel()} - {best}
    cells = []
    for label, each in found.items():
        mark: Mark = "best" if is_sure and each.value == found[best].value else ""
        cells.append(Cell(number(each.value) + "†" * (label in below), interval(each.low, each.high), each.value, mark))
    return Column(statistic, cells, "lower" if sign < 0 else "higher")
