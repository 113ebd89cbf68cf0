"""Tables of a comparison and the sentences around them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import counted
from ..prompts.provenance import in_words
from ..report.table import Cell, Column, Mark, Table, number, p_value, signed
from ..stats.bootstrap import Estimate
from .data_set_results import CORRELATIONS, DataSetResult
from .differences import SIGNIFICANT
from .outputs import key_lines

_LISTED = 5  # most skipped images that a text names
_SIGN = (
    "A positive correlation is good for every metric: scores of lower-better metrics, and DMOS, are negated before the "
    "correlation."
)
_RAW = "PLCC is raw, without a fit, as pyiqa and the official code report it"
_FIT = (
    "; PLCC fitted is the PLCC after a logistic fit with {} parameters, and RMSE fitted is the remaining error in the "
    "units of the opinion scores"
)
_PUBLISHED = (
    "Published values are shown only for the source's metric and images; a difference is our value minus the published "
    "value."
)


def legend(results: Sequence[DataSetResult]) -> list[str]:
    rated = [data for data in results if data.mos is not None]
    if not rated:
        return []
    fit = _FIT.format(rated[0].fit_parameters) * rated[0].plcc_fit
    is_published = any(data.published(label) for data in rated for label in data.metrics)
    return [_SIGN, _intervals(rated[0]), f"{_RAW}{fit}.", *[_PUBLISHED] * is_published]


def _intervals(data: DataSetResult) -> str:
    if not data.bootstrap:
        return "No intervals: the bootstrap was switched off."
    return f"In brackets: 95 % bootstrap interval over the images ({data.bootstrap} resamples, seed {data.seed})."


def build_tables(results: Sequence[DataSetResult]) -> list[Table]:
    tables = [overview_table(results)]
    for data in results:
        tables += [data_set_table(data), difference_table(data), published_table(data)]
    return [table for table in tables if table is not None]


def overview_table(results: Sequence[DataSetResult]) -> Table | None:
    """Return a table of SROCC and PLCC on all data sets."""
    rated = [data for data in results if data.mos is not None]
    if len(rated) < 2:
        return None
    metrics = {label: metric.direction for data in rated for label, metric in data.metrics.items()}
    columns = {"metric": list(map(Cell, metrics)), "better": list(map(Cell, metrics.values()))}
    for data in rated:
        counts = [int(n) for n in data.scores.notna().sum() if n] or [0]
        images = " to ".join(map(str, sorted({min(counts), max(counts)})))
        cells = []
        for label in metrics:
            cell = _estimate(data, label, "SROCC") if label in data.metrics else Cell("not run")
            if not math.isnan(cell.value):
                plcc = number(data.estimates[label]["PLCC"].value)
                cell = replace(cell, text=f"{cell.text} / {plcc}", detail="")
            cells.append(cell)
        columns[f"{data.name}, n = {images}"] = _best_marked(cells)
    return _table("All data sets: SROCC / PLCC", columns, reading=(_SIGN,))


def data_set_table(data: DataSetResult) -> Table:
    """Return a table of correlations or, without opinion scores, of lowest, median and highest scores."""
    labels, metrics = list(data.metrics), data.metrics.values()
    columns = {"metric": list(map(Cell, labels)), "better": [Cell(metric.direction) for metric in metrics]}
    before, reading = [data.note] * bool(data.note), (_SIGN, _intervals(data))[: 1 + bool(data.bootstrap)]
    if data.mos is None:
        before.append("There are no opinion scores here, so no correlations.")
        reading = ()
        for head, quantile in (("lowest", 0.0), ("median", 0.5), ("highest", 1.0)):
            values = {label: float(data.scores[label].quantile(quantile)) for label in labels}
            columns[head] = [_cell(f"{v:.4g}", v, _why_empty(data, label)) for label, v in values.items()]
    else:
        before += ["The opinion scores are DMOS: lower is better."] * data.mos_lower_better
        for statistic in data.statistics:
            cells = [_estimate(data, label, statistic) for label in labels]
            caveats = [data.estimates[label][statistic].caveat for label in labels]
            columns[statistic] = _best_marked(cells, caveats, lowest=statistic.startswith("RMSE"))
    counts, times = data.scores.notna().sum(), [1000 * metric.seconds_per_image for metric in metrics]
    columns["n"] = [Cell(str(counts[label]), value=float(counts[label])) for label in labels]
    columns["range"] = [Cell(metric.score_range.replace(", ", " to ") or "unknown") for metric in metrics]
    columns["ms/image"] = [_cell(f"{time:.{0 if time >= 100 else 1}f}", time, "unknown") for time in times]
    reasons = {label: reason for label in labels if (reason := data.reason(label))}
    left_out = tuple(skipped_lines(data.skipped))
    return _table(data.name, columns, before=tuple(before), reasons=reasons, left_out=left_out, reading=reading)


def difference_table(data: DataSetResult) -> Table | None:
    if not data.pairs or not data.bootstrap:
        return None
    cells = {}
    for pair in data.pairs:
        for (row, column), sign in (((pair.first, pair.second), 1), ((pair.second, pair.first), -1)):
            value = sign * pair.srocc.value
            mark: Mark = "" if not pair.significant else "gain" if value > 0 else "loss"
            cells[row, column] = Cell(signed(value), p_value(pair.p_holm), value, mark)
    labels = sorted({row for row, _ in cells}, key=lambda label: -data.estimates[label]["SROCC"].value)
    columns = {"metric": list(map(Cell, labels))}
    columns |= {column: [cells.get((row, column), Cell("–")) for row in labels] for column in labels}
    reading = (
        "Each cell is the row's SROCC minus the column's SROCC, on the images that both metrics scored. Its p-value is "
        f"from a paired bootstrap, corrected by Holm's rule for {counted(len(data.pairs), 'pair')}. Marked differences "
        f"(p < {SIGNIFICANT}) are larger than chance explains."
    )
    return _table(f"{data.name}: which differ in SROCC", columns, before=(reading,))


def published_table(data: DataSetResult) -> Table | None:
    known = {label: value for label in data.metrics if data.mos is not None and (value := data.published(label))}
    if not known:
        return None
    columns = {"metric": list(map(Cell, known)), "source": [Cell(value.source) for value in known.values()]}
    for statistic in CORRELATIONS:
        theirs = [value[statistic] for value in known.values()]
        if all(map(math.isnan, theirs)):
            continue
        ours = [replace(_estimate(data, label, statistic), detail="") for label in known]
        apart = [cell.value - value for cell, value in zip(ours, theirs, strict=True)]
        columns[f"{statistic} here"] = ours
        columns[f"{statistic} published"] = [_cell(number(value), value, "not given") for value in theirs]
        columns[f"{statistic} difference"] = [_cell(signed(value), value, "none") for value in apart]
    return _table(f"{data.name}: beside published values", columns, reading=(_SIGN,))


def provenances(results: Sequence[DataSetResult]) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for data in results:
        for label, metric in data.metrics.items():
            found.setdefault(label, in_words(metric.provenance))
    return found


def metric_lines(results: Sequence[DataSetResult]) -> list[str]:
    known = provenances(results)
    return [f"{label} = {', '.join(key_lines(provenance)) or 'unknown'}" for label, provenance in known.items()]


def skipped_lines(skipped: Mapping[str, str], listed: int = _LISTED) -> list[str]:
    if not skipped:
        return []
    lines = [why if path in why else f"{path}: {why}" for path, why in list(skipped.items())[:listed]]
    lines += [f"… and {len(skipped) - listed} more"] * (len(skipped) > listed)
    return [f"{counted(len(skipped), 'image')} left out of all metrics:", *(f"  {line}" for line in lines)]


def in_brackets(estimate: Estimate) -> str:
    return "" if math.isnan(estimate.low) else f"[{number(estimate.low)}, {number(estimate.high)}]"


def _table(title: str, columns: Mapping[str, Sequence[Cell]], **more: Any) -> Table:
    return Table(title, tuple(map(Column, columns)), tuple(zip(*columns.values(), strict=True)), **more)


def _cell(text: str, value: float, words: str) -> Cell:
    return Cell(words) if math.isnan(value) else Cell(text, value=value)


def _estimate(data: DataSetResult, label: str, statistic: str) -> Cell:
    estimate = data.estimates[label][statistic]
    if math.isnan(estimate.value):
        return Cell(_why_empty(data, label))
    return Cell(number(estimate.value), in_brackets(estimate), estimate.value)


def _why_empty(data: DataSetResult, label: str) -> str:
    return "failed" if data.metrics[label].error else "undefined"


def _best_marked(cells: Sequence[Cell], caveats: Sequence[str] = (), lowest: bool = False) -> list[Cell]:
    # the best value gets no mark if it is alone, has a caveat or is not above 0
    values = [-cell.value if lowest else cell.value for cell in cells]
    numbers = [value for value in values if not math.isnan(value)]
    best = max(numbers, default=math.nan)
    is_doubted = any(caveat for caveat, value in zip(caveats, values, strict=False) if value == best)
    if len(numbers) < 2 or is_doubted or (best <= 0 and not lowest):
        return list(cells)
    return [replace(cell, mark="best") if value == best else cell for cell, value in zip(cells, values, strict=True)]
