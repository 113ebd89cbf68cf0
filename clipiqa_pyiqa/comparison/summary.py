"""What the tables of a comparison say, decided once for the console, files and the report: heads, cells, words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..errors import counted
from ..prompts.provenance import in_words
from ..report.table import Cell, Column, Mark, Table, number, p_value, signed
from ..stats.bootstrap import Estimate
from .differences import SIGNIFICANT
from .results import CORRELATIONS, Comparison, DataSetResult

_LISTED = 5  # skipped images that a text table names
_UNKNOWN = Cell("unknown")
_SIGN = (
    "A positive correlation is good, whatever the metric's direction: scores of lower-better metrics, and DMOS, "
    "are negated before they are correlated."
)


def legend(comparison: Comparison) -> list[str]:
    """How to read the numbers, one sentence each; nothing where there are no correlations to read."""
    first = next((data for data in comparison.data_sets if data.mos is not None), None)
    if first is None:
        return []
    lines = [
        _SIGN,
        _intervals(first),
        "PLCC is raw, without a fit, as pyiqa and the official code report it"
        + (
            "; PLCC fitted is that after VQEG's logistic fit, and RMSE fitted what is left then, in units of opinion."
            if first.plcc_fit
            else "."
        ),
    ]
    if any(data.published(label) for data in comparison.data_sets for label in data.metrics):
        lines.append(
            "Published values stand only where metric and images are the source's; a difference is ours less published."
        )
    return lines


def _intervals(data: DataSetResult) -> str:
    if not data.bootstrap:
        return "No intervals: the bootstrap was switched off."
    return f"In brackets: 95 % bootstrap interval over the images ({data.bootstrap} resamples, seed {data.seed})."


def build_tables(comparison: Comparison) -> list[Table]:
    """Every table of a comparison: an overview if there are several data sets, then each data set's own."""
    tables = [overview_table(comparison)]
    for data in comparison.data_sets:
        tables += [data_set_table(data), difference_table(data), published_table(data)]
    return [table for table in tables if table is not None]


def overview_table(comparison: Comparison) -> Table | None:
    """Metrics down, data sets across, SROCC and PLCC in each cell; none for less than two data sets with opinion."""
    rated = [data for data in comparison.data_sets if data.mos is not None]
    if len(rated) < 2:
        return None
    metrics = {label: metric for data in rated for label, metric in data.metrics.items()}
    columns = {
        "metric": [Cell(label) for label in metrics],
        "better": [Cell(metric.direction) for metric in metrics.values()],
    }
    for data in rated:
        cells = [_overview_cell(data, label) for label in metrics]
        columns[f"{data.name}, n = {_counts(data)}"] = _best_marked(cells)
    return _table("All data sets: SROCC / PLCC", columns, reading=(_SIGN,))


def _overview_cell(data: DataSetResult, label: str) -> Cell:
    if label not in data.metrics:
        return Cell("not run")
    cell = _estimate(data, label, "SROCC")
    if math.isnan(cell.value):
        return cell
    return Cell(f"{cell.text} / {number(data.estimates[label]['PLCC'].value)}", value=cell.value)


def data_set_table(data: DataSetResult) -> Table:
    """Everything about the metrics on one data set, but for published values and which of them differ."""
    columns = {
        "metric": [Cell(label) for label in data.metrics],
        "better": [Cell(metric.direction) for metric in data.metrics.values()],
    }
    if data.mos is None:
        columns |= _spread(data)
    for statistic in data.statistics if data.mos is not None else ():
        cells = [_estimate(data, label, statistic) for label in data.metrics]
        caveats = [data.estimates[label][statistic].caveat for label in data.metrics]
        columns[statistic] = _best_marked(cells, caveats, lowest=statistic.startswith("RMSE"))
    counts = data.scores.notna().sum()
    columns["n"] = [Cell(str(counts[label]), value=float(counts[label])) for label in data.metrics]
    ranges = (metric.score_range.replace(", ", " to ") for metric in data.metrics.values())
    columns["range"] = [Cell(text) if text else _UNKNOWN for text in ranges]
    columns["ms/image"] = [_milliseconds(metric.seconds_per_image) for metric in data.metrics.values()]
    before = [data.note] * bool(data.note)
    if data.mos is None:
        before.append("There are no opinion scores here, so no correlations.")
    elif data.mos_lower_better:
        before.append("Its opinion scores are DMOS: lower is better.")
    return _table(
        data.name,
        columns,
        before=tuple(before),
        reasons={label: reason for label in data.metrics if (reason := data.reason(label))},
        left_out=tuple(skipped_lines(data.skipped)),
        reading=(_SIGN, *[_intervals(data)] * bool(data.bootstrap)) if data.mos is not None else (),
    )


def difference_table(data: DataSetResult) -> Table | None:
    """Which metrics differ in SROCC, the best first: each row's less each column's; none for less than two metrics."""
    if not data.pairs or not data.bootstrap:
        return None
    found = {}
    for pair in data.pairs:
        for (row, column), sign in (((pair.first, pair.second), 1), ((pair.second, pair.first), -1)):
            value = sign * pair.srocc.value
            mark: Mark = "" if not pair.significant else "gain" if value > 0 else "loss"
            found[row, column] = Cell(signed(value), p_value(pair.p_holm), value, mark)
    labels = sorted({row for row, _ in found}, key=lambda label: -data.estimates[label]["SROCC"].value)
    columns = {"metric": [Cell(label) for label in labels]}
    columns |= {column: [found.get((row, column), Cell("–")) for row in labels] for column in labels}
    reading = (
        "Each cell is the row's SROCC less the column's, on the images that both have, and the p-value of no "
        f"difference, by a paired bootstrap, corrected by Holm's rule for {len(data.pairs)} pair"
        f"{'s' * (len(data.pairs) > 1)}. What stands out (p < {SIGNIFICANT}) is more than chance."
    )
    return _table(f"{data.name}: which differ in SROCC", columns, before=(reading,))


def published_table(data: DataSetResult) -> Table | None:
    """Ours beside what was published, for the metrics of which something was; none if nothing was."""
    known = {label: value for label in data.metrics if data.mos is not None and (value := data.published(label))}
    if not known:
        return None
    columns = {
        "metric": [Cell(label) for label in known],
        "source": [Cell(value.source) for value in known.values()],
    }
    for statistic in CORRELATIONS:
        if all(math.isnan(value[statistic]) for value in known.values()):
            continue
        theirs = [value[statistic] for value in known.values()]
        # The interval stands in the table above.
        ours = [replace(_estimate(data, label, statistic), detail="") for label in known]
        apart = [cell.value - value for cell, value in zip(ours, theirs, strict=True)]
        columns[f"{statistic} here"] = ours
        columns[f"{statistic} published"] = [_or("not given", value, number) for value in theirs]
        columns[f"{statistic} difference"] = [_or("none", value, signed) for value in apart]
    return _table(f"{data.name}: beside published values", columns, reading=(_SIGN,))


def provenances(comparison: Comparison) -> list[tuple[str, Mapping[str, str], list[str]]]:
    """Which metric each label was exactly: label, provenance, and the data sets on which it was that."""
    found: list[tuple[str, Mapping[str, str], list[str]]] = []
    for data in comparison.data_sets:
        for label, metric in data.metrics.items():
            said = in_words(metric.provenance)
            for known, provenance, names in found:
                if known == label and provenance == said:
                    names.append(data.name)
                    break
            else:
                found.append((label, said, [data.name]))
    return found


def skipped_count(skipped: Mapping[str, str]) -> str:
    """How many images were left out."""
    return f"{counted(len(skipped), 'image')} left out of all metrics"


def skipped_lines(skipped: Mapping[str, str]) -> list[str]:
    """How many images were left out, and why the first few were; no lines if none were."""
    if not skipped:
        return []
    return [f"{skipped_count(skipped)}:", *(f"  {line}" for line in skipped_reasons(skipped, _LISTED, "… and"))]


def skipped_reasons(skipped: Mapping[str, str], listed: int, rest: str = "and") -> list[str]:
    """Why images were left out, one line each, up to so many; then how many more."""
    named = [why if path in why else f"{path}: {why}" for path, why in list(skipped.items())[:listed]]
    return named + [f"{rest} {len(skipped) - listed} more"] * (len(skipped) > listed)


def key_lines(values: Mapping[str, str]) -> list[str]:
    """``key: value`` of each."""
    return [f"{key}: {value}" for key, value in values.items()]


def provenance_lines(comparison: Comparison) -> list[str]:
    """Which metric each label was exactly, one line per metric."""
    several = len(comparison.data_sets) > 1
    lines = []
    for label, provenance, names in provenances(comparison):
        where = f" on {', '.join(names)}" if several and len(names) < len(comparison.data_sets) else ""
        lines.append(f"{label}{where} = {', '.join(key_lines(provenance)) or 'nothing more is known of it'}")
    return lines


def in_brackets(estimate: Estimate) -> str:
    """``[low, high]``; empty where there is none."""
    return "" if math.isnan(estimate.low) else f"[{number(estimate.low)}, {number(estimate.high)}]"


def _table(
    title: str,
    columns: Mapping[str, Sequence[Cell]],
    *,
    before: tuple[str, ...] = (),
    reasons: Mapping[str, str] | None = None,
    left_out: tuple[str, ...] = (),
    reading: tuple[str, ...] = (),
) -> Table:
    rows = tuple(zip(*columns.values(), strict=True))
    return Table(title, tuple(map(Column, columns)), rows, before, reasons or {}, left_out, reading)


def _estimate(data: DataSetResult, label: str, statistic: str) -> Cell:
    estimate = data.estimates[label][statistic]
    if math.isnan(estimate.value):
        return Cell(_why_empty(data, label))
    return Cell(number(estimate.value), in_brackets(estimate), estimate.value)


def _why_empty(data: DataSetResult, label: str) -> str:
    return "failed" if data.metrics[label].error else "undefined"


def _or(words: str, value: float, spelt: Callable[[float], str]) -> Cell:
    return Cell(words) if math.isnan(value) else Cell(spelt(value), value=value)


def _spread(data: DataSetResult) -> dict[str, list[Cell]]:
    """Lowest, median and highest score: what can be said where nobody was asked."""
    columns = {}
    for head, quantile in (("lowest", 0.0), ("median", 0.5), ("highest", 1.0)):
        values = ((label, float(data.scores[label].quantile(quantile))) for label in data.metrics)
        columns[head] = [_or(_why_empty(data, label), value, "{:.4g}".format) for label, value in values]
    return columns


def _best_marked(cells: Sequence[Cell], caveats: Sequence[str] = (), lowest: bool = False) -> list[Cell]:
    """The best of a column marked, if there is something that it is better than, and no caveat against it.

    The highest must also be good at all, above zero.
    """
    values = [-cell.value if lowest else cell.value for cell in cells]
    numbers = [value for value in values if not math.isnan(value)]
    best = max(numbers, default=math.nan)
    doubted = any(caveat for caveat, value in zip(caveats, values, strict=False) if value == best)
    if len(numbers) < 2 or doubted or (best <= 0 and not lowest):
        return list(cells)
    return [replace(cell, mark="best") if value == best else cell for cell, value in zip(cells, values, strict=True)]


def _milliseconds(seconds: float) -> Cell:
    if math.isnan(seconds):
        return _UNKNOWN
    return Cell(f"{seconds * 1000:.{0 if seconds >= 0.1 else 1}f}", value=seconds * 1000)


def _counts(data: DataSetResult) -> str:
    """How many images: '300', or '298 to 300' if it depends on the metric, those that failed aside."""
    counts = [int(n) for n in data.scores.notna().sum() if n] or [0]
    return str(max(counts)) if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
