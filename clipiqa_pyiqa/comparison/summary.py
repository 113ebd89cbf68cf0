"""Tables of a comparison and the sentences around them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import counted
from ..prompts.provenance import as_texts
from ..report.table import Cell, Column, Table, number, p_value, signed
from ..stats.bootstrap import Estimate
from .data_set_results import CORRELATIONS, DataSetResult
from .differences import SIGNIFICANT
from .outputs import key_lines

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
    tables = [overview_table(results)]
    for data in results:
        tables += [data_set_table(data), difference_table(data), published_table(data)]
    return [table for table in tables if table is not None]


def overview_table(results: Sequence[DataSetResult]) -> Table | None:
    rated = [data for data in results if data.mos is not None]
    if len(rated) < 2:
        return None
    columns = _first_columns(rated[0])
    for data in rated:
        for statistic in ("SROCC", "PLCC"):
            columns[f"{data.name}: {statistic}"] = [replace(cell, detail="") for cell in _estimates(data, statistic)]
    return _table("All data sets: SROCC and PLCC", columns)


def data_set_table(data: DataSetResult) -> Table:
    columns, metrics = _first_columns(data), data.metrics.values()
    before = [data.note] * bool(data.note)
    if data.mos is None:
        before.append("There are no opinion scores here, so no correlations.")
        for head, quantile in (("lowest", 0.0), ("median", 0.5), ("highest", 1.0)):
            values = data.scores[list(data.metrics)].quantile(quantile)
            columns[head] = [_cell(f"{value:.4g}", value) for value in values]
    else:
        before += ["The opinion scores are DMOS: lower is better."] * data.mos_lower_better
        columns |= {statistic: _estimates(data, statistic) for statistic in data.statistics}
    columns["n"] = [Cell(str(n), value=n) for n in data.scores[list(data.metrics)].notna().sum()]
    columns["range"] = [Cell(metric.score_range.replace(", ", " to ") or "–") for metric in metrics]
    times = [1000 * metric.seconds_per_image for metric in metrics]
    columns["ms/image"] = [_cell(f"{time:.1f}", time) for time in times]
    reasons = {label: reason for label in data.metrics if (reason := data.reason(label))}
    left_out = tuple(skipped_lines(data.skipped))
    return _table(data.name, columns, before=tuple(before), reasons=reasons, left_out=left_out)


def difference_table(data: DataSetResult) -> Table | None:
    pairs = data.pairs if data.bootstrap else []
    if not pairs:
        return None
    columns = {
        "metrics": [Cell(f"{pair.first} − {pair.second}") for pair in pairs],
        "SROCC difference": [Cell(signed(p.srocc.value), _in_brackets(p.srocc), p.srocc.value) for p in pairs],
        "p": [
            Cell(
                p_value(p.p_holm, p.srocc.p <= 2 / (p.resamples + 1)),
                value=p.p_holm,
                mark="gain" if p.significant else "",
            )
            for p in pairs
        ],
    }
    reading = (
        "Each difference is the first metric's SROCC minus the second metric's SROCC, on the images that both metrics "
        f"scored. Its p-value is from a paired bootstrap ({pairs[0].resamples:,} resamples), corrected by Holm's rule "
        f"for {counted(len(pairs), 'pair')}; “p ≤” means that p cannot be lower with so many resamples. Marked "
        f"differences (p < {SIGNIFICANT}) are larger than chance explains."
    )
    return _table(f"{data.name}: differences in SROCC", columns, before=(reading,))


def published_table(data: DataSetResult) -> Table | None:
    known = {label: value for label in data.scored if (value := data.published(label))}
    if not known:
        return None
    columns = {"metric": list(map(Cell, known)), "source": [Cell(value.source) for value in known.values()]}
    for statistic in CORRELATIONS:
        cells = []
        for label, value in known.items():
            apart = data.estimates[label][statistic].value - value[statistic]
            cells.append(_cell(number(value[statistic]), value[statistic], "" if math.isnan(apart) else signed(apart)))
        columns[f"{statistic} published"] = cells
    return _table(f"{data.name}: beside published values", columns, before=(_PUBLISHED,))


def provenances(results: Sequence[DataSetResult]) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for data in results:
        for label, metric in data.metrics.items():
            found.setdefault(label, as_texts(metric.provenance))
    return found


def metric_lines(results: Sequence[DataSetResult]) -> list[str]:
    known = provenances(results)
    return [f"{label} = {', '.join(key_lines(provenance)) or 'unknown'}" for label, provenance in known.items()]


def skipped_lines(skipped: Mapping[str, str]) -> list[str]:
    if not skipped:
        return []
    lines = [why if path in why else f"{path}: {why}" for path, why in list(skipped.items())[:_LISTED]]
    lines += [f"… and {len(skipped) - _LISTED} more"] * (len(skipped) > _LISTED)
    return [f"{counted(len(skipped), 'image')} left out of all metrics:", *(f"  {line}" for line in lines)]


def _first_columns(data: DataSetResult) -> dict[str, list[Cell]]:
    metrics = data.metrics.values()
    return {"metric": [Cell(metric.label) for metric in metrics], "better": [Cell(each.direction) for each in metrics]}


def _estimates(data: DataSetResult, statistic: str) -> list[Cell]:
    # the best value gets no mark if it is alone, has a caveat or is not above 0
    found = [estimates[statistic] for estimates in data.estimates.values()]
    sign = -1 if statistic.startswith("RMSE") else 1
    numbers = [estimate for estimate in found if not math.isnan(estimate.value)]
    best = max(numbers, key=lambda estimate: sign * estimate.value, default=Estimate(math.nan))
    is_sure = len(numbers) > 1 and best.value > 0 and not best.caveat
    cells = [_cell(number(estimate.value), estimate.value, _in_brackets(estimate)) for estimate in found]
    return [replace(cell, mark="best") if is_sure and cell.value == best.value else cell for cell in cells]


def _in_brackets(estimate: Estimate) -> str:
    return "" if math.isnan(estimate.low) else f"[{number(estimate.low)}, {number(estimate.high)}]"


def _cell(text: str, value: float, detail: str = "") -> Cell:
    return Cell("–") if math.isnan(value) else Cell(text, detail, value)


def _table(title: str, columns: Mapping[str, Sequence[Cell]], **more: Any) -> Table:
    return Table(title, tuple(map(Column, columns)), tuple(zip(*columns.values(), strict=True)), **more)
