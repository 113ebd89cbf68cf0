"""Tables of a comparison and the sentences around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..errors import counted
from ..report.table import Cell, Column, Table, number, p_value, signed, words
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
_WITHIN = "SROCC within is the mean of the groups' SROCC; its interval resamples groups."
_PUBLISHED = (
    "Published values are shown only for the source's metric and images. Beside a published value is our value minus "
    "the published value."
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
    return [_SIGN, intervals, f"{_RAW}{fit}.", *within]


def build_tables(results: Sequence[DataSetResult]) -> list[Table]:
    makers = (_metrics, _agreement, _differences, _published)
    return [replace(table, section=data.name) for data in results for make in makers if (table := make(data))]


def _metrics(data: DataSetResult) -> Table:
    frame = data.frame
    columns = [words("metric", frame["metric"]), words("better", frame["direction"])]
    before = [data.note] if data.note else []
    if data.mos is None:
        before.append("There are no opinion scores here, so no correlations.")
    else:
        if data.mos_lower_better:
            before.append("The opinion scores are DMOS: lower is better.")
        columns += [Column(statistic, _estimates(data, statistic)) for statistic in data.statistics]
    columns += [
        Column("n", [Cell(str(n), value=n) for n in frame["n"]]),
        words("range", frame["range"].replace("", "–")),
        Column("ms/image", [_cell(f"{time:.1f}", time) for time in 1000 * frame["seconds per image"]]),
    ]
    reasons = {label: reason for label in data.metrics if (reason := data.reason(label))}
    left_out = []
    if data.skipped:
        left_out = [f"{counted(len(data.skipped), 'image')} left out of all metrics:"]
        left_out += [f"  {why if path in why else f'{path}: {why}'}" for path, why in data.skipped.items()][:_LISTED]
        if len(data.skipped) > _LISTED:
            left_out.append(f"  … and {len(data.skipped) - _LISTED} more")
    return Table(data.name, columns, before, reasons, left_out)


def _agreement(data: DataSetResult) -> Table | None:
    labels = data.scored
    if len(labels) < 2:
        return None
    found = data.oriented_scores[labels].corr("spearman", MIN_IMAGES)
    columns = [words("metric", labels)]
    columns += [Column(label, [_cell(number(value, 2), value) for value in found[label]]) for label in labels]
    return Table(f"{data.name}: SROCC between metrics", columns, [_BETWEEN], is_heat_map=True)


def _differences(data: DataSetResult) -> Table | None:
    pairs = data.pairs
    if not data.bootstrap or pairs.empty:
        return None
    resamples = pairs["resamples"][0]
    differences, chances = [], []
    for pair in pairs.to_dict("records"):
        apart, p = pair["SROCC difference"], pair["p Holm"]
        differences.append(Cell(signed(apart), _in_brackets(pair["low"], pair["high"]), apart))
        text = p_value(p, at_floor=pair["p"] <= 2 / (resamples + 1))
        chances.append(Cell(text, value=p, mark="gain" if pair["significant"] else ""))
    columns = [
        words("metrics", pairs["first"] + " − " + pairs["second"]),
        Column("SROCC difference", differences),
        Column("p", chances),
    ]
    reading = (
        "Each difference is the first metric's SROCC minus the second metric's SROCC, on the images that both metrics "
        f"scored. Its p-value is from a paired bootstrap ({resamples:,} resamples), corrected by Holm's rule "
        f"for {counted(len(pairs), 'pair')}; “p ≤” means that p cannot be lower with so many resamples. Marked "
        f"differences (p < {LEVEL}) are larger than chance explains."
    )
    return Table(f"{data.name}: differences in SROCC", columns, [reading])


def _published(data: DataSetResult) -> Table | None:
    known = data.frame[(data.frame["source"] != "") & (data.frame["n"] > 0)]
    if known.empty:
        return None
    columns = [words(name, known[name]) for name in ("metric", "source")]
    for statistic in CORRELATIONS:
        values, gaps = known[f"published {statistic}"], known[f"{statistic} difference"]
        cells = [
            _cell(number(value), value, "" if math.isnan(gap) else signed(gap))
            for value, gap in zip(values, gaps, strict=True)
        ]
        columns.append(Column(f"{statistic} published", cells))
    return Table(f"{data.name}: beside published values", columns, [_PUBLISHED])


def provenances(results: Sequence[DataSetResult]) -> dict[str, dict[str, str]]:
    # the first data set with the label wins
    metrics = {label: metric for data in reversed(results) for label, metric in data.metrics.items()}
    return {label: described([metrics[label].column]) for data in results for label in data.metrics}


def _estimates(data: DataSetResult, statistic: str) -> list[Cell]:
    # the best value gets no mark if it is alone, has a caveat or is not above 0
    found = [estimates[statistic] for estimates in data.estimates.values()]
    sign = -1 if statistic.startswith("RMSE") else 1
    numbers = [estimate for estimate in found if not math.isnan(estimate.value)]
    best = max(numbers, key=lambda estimate: sign * estimate.value, default=Estimate(math.nan))
    is_sure = len(numbers) > 1 and best.value > 0 and not best.caveat
    cells = [_cell(number(each.value), each.value, _in_brackets(each.low, each.high)) for each in found]
    return [replace(cell, mark="best") if is_sure and cell.value == best.value else cell for cell in cells]


def _in_brackets(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"[{number(low)}, {number(high)}]"


def _cell(text: str, value: float, detail: str = "") -> Cell:
    return Cell("–") if math.isnan(value) else Cell(text, detail, value)
