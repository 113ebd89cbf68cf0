"""What the tables of a comparison say, decided once for the console, files and the report: heads, cells, words.

Every number comes from ``Comparison.frame``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..results import Comparison, DataSetResult

_LISTED = 5  # skipped images that a text table names
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What it says; words, never 'nan', where there is no number.
        detail: Said smaller behind it: an interval.
        value: What to sort by; NaN for words.
        best: Whether it is the highest correlation of its column.
    """

    text: str
    detail: str = ""
    value: float = math.nan
    best: bool = False

    @property
    def full(self) -> str:
        """Text and detail."""
        return f"{self.text} {self.detail}".rstrip()


@dataclass(frozen=True)
class Table:
    """A table, and what to know about it.

    Attributes:
        title: What it is about.
        columns: Heads; the first column names the metric.
        rows: One per metric, one cell per column.
        before: Lines to read before it: what was evaluated.
        reasons: Metric -> why cells of its row hold no number.
        left_out: Lines on the images that were left out.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    before: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def after(self) -> tuple[str, ...]:
        """Lines to read after it."""
        return (*(f"{label}: {reason}" for label, reason in self.reasons.items()), *self.left_out)


def legend(comparison: Comparison) -> list[str]:
    """How to read the numbers, one sentence each."""
    first = comparison.data_sets[0]
    lines = [
        "A positive correlation is good, whatever the metric's direction: scores of lower-better metrics, and DMOS, "
        "are negated before they are correlated.",
        f"In brackets: 95 % bootstrap interval over the images ({first.bootstrap} resamples, seed {first.seed})."
        if first.bootstrap
        else "No intervals: the bootstrap was switched off.",
        "PLCC is raw, without a fit, as pyiqa and the official code report it"
        + ("; PLCC fitted is that after VQEG's logistic fit." if first.plcc_fit else "."),
    ]
    if any(data.published(label) for data in comparison.data_sets for label in data.metrics):
        lines.append(
            "Published values stand only where metric and images are the source's; a difference is ours less published."
        )
    return lines


def build_tables(comparison: Comparison) -> list[Table]:
    """Every table of a comparison: an overview if there are several data sets, then each data set's own."""
    records: list[dict[str, Any]] = comparison.frame().to_dict("records")
    remaining = iter(records)
    tables, with_opinion = [], []
    for data in comparison.data_sets:
        rows = [next(remaining) for _ in data.metrics]
        tables.append(data_set_table(data, rows))
        if data.mos is not None:
            with_opinion.append((data, rows))
            tables += published_table(data, rows)
    return overview_table(with_opinion) + tables


def overview_table(results: Sequence[tuple[DataSetResult, list[dict[str, Any]]]]) -> list[Table]:
    """Metrics down, data sets across, SROCC and PLCC in each cell; none for less than two data sets."""
    if len(results) < 2:
        return []
    metrics = {label: metric for data, _ in results for label, metric in data.metrics.items()}
    columns = []
    for data, rows in results:
        own = {row["metric"]: row for row in rows}
        column = []
        for label in metrics:
            row = own.get(label)
            if row is None:
                column.append(Cell("not run"))
            elif math.isnan(row["SROCC"]):
                column.append(Cell(_why_empty(data, row)))
            else:
                column.append(Cell(f"{number(row['SROCC'])} / {number(row['PLCC'])}", value=row["SROCC"]))
        columns.append(_best_marked(column))
    heads = ("metric", "better", *(f"{data.name}, n = {_counts(rows)}" for data, rows in results))
    names = [(Cell(label), Cell(metric.direction)) for label, metric in metrics.items()]
    lines = tuple((*name, *cells) for name, cells in zip(names, zip(*columns, strict=True), strict=True))
    return [Table("All data sets: SROCC / PLCC", heads, lines)]


def data_set_table(data: DataSetResult, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Everything about the metrics on one data set, but for published values.

    Args:
        data: The data set.
        rows: Its rows of ``Comparison.frame``.
    """
    columns = {
        "metric": [Cell(row["metric"]) for row in rows],
        "better": [Cell(row["direction"]) for row in rows],
    }
    if data.mos is None:
        columns |= _spread(data, rows)
    else:
        for statistic in data.statistics:
            columns[statistic] = _best_marked([_estimate(data, row, statistic) for row in rows])
    columns["n"] = [Cell(str(row["n"]), value=row["n"]) for row in rows]
    columns["range"] = [Cell(row["range"].replace(", ", " to ") or _UNKNOWN) for row in rows]
    columns["ms/image"] = [_milliseconds(row["seconds per image"]) for row in rows]
    before = [data.note] * bool(data.note)
    if data.mos is None:
        before.append("There are no opinion scores here, so no correlations.")
    elif data.mos_lower_better:
        before.append("Its opinion scores are DMOS: lower is better.")
    notes = {row["metric"]: row["note"] for row in rows}
    if data.mos is None:  # that there is no opinion is said once, above
        notes = {label: "; ".join(filter(None, (m.error, m.note))) for label, m in data.metrics.items()}
    reasons = {label: note for label, note in notes.items() if note}
    return Table(
        data.name,
        tuple(columns),
        tuple(zip(*columns.values(), strict=True)),
        tuple(before),
        reasons,
        tuple(skipped_lines(data.skipped)),
    )


def published_table(data: DataSetResult, rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Ours beside what was published, for the metrics of which something was; none if nothing was."""
    known = [row for row in rows if row["source"]]
    if not known:
        return []
    statistics = [s for s in ("SROCC", "PLCC", "KRCC") if any(not math.isnan(row[f"published {s}"]) for row in known)]
    cells = []
    for row in known:
        line = [Cell(row["metric"]), Cell(row["source"])]
        for statistic in statistics:
            estimate = replace(_estimate(data, row, statistic), detail="")  # the interval stands in the table above
            published = row[f"published {statistic}"]
            difference = row[f"{statistic} difference"]
            line += [
                estimate,
                Cell("not given") if math.isnan(published) else Cell(number(published), value=published),
                Cell("none")
                if math.isnan(difference)
                else Cell(f"{round(difference, 3) + 0.0:+.3f}", value=difference),
            ]
        cells.append(tuple(line))
    heads = [f"{s}{what}" for s in statistics for what in (" here", " published", " difference")]
    return [Table(f"{data.name}: beside published values", ("metric", "source", *heads), tuple(cells))]


def provenances(comparison: Comparison) -> list[tuple[str, Mapping[str, str], list[str]]]:
    """Which metric each label was exactly: label, provenance, and the data sets on which it was that."""
    found: list[tuple[str, Mapping[str, str], list[str]]] = []
    for data in comparison.data_sets:
        for label, metric in data.metrics.items():
            for known, provenance, names in found:
                if known == label and dict(provenance) == dict(metric.provenance):
                    names.append(data.name)
                    break
            else:
                found.append((label, metric.provenance, [data.name]))
    return found


def skipped_lines(skipped: Mapping[str, str]) -> list[str]:
    """How many images were left out, and why the first few were; no lines if none were."""
    if not skipped:
        return []
    named = [f"  {why}" if path in why else f"  {path}: {why}" for path, why in list(skipped.items())[:_LISTED]]
    more = [f"  … and {len(skipped) - _LISTED} more"] if len(skipped) > _LISTED else []
    count = f"{len(skipped)} image{'s' * (len(skipped) > 1)}"
    return [f"{count} left out of all metrics:", *named, *more]


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


def plain(text: str) -> str:
    r"""Text on one line that cannot steer a terminal or turn a reader's view: what could is spelt, as ``\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _estimate(data: DataSetResult, row: Mapping[str, Any], statistic: str) -> Cell:
    value, low, high = (row[f"{statistic}{end}"] for end in ("", " low", " high"))
    if math.isnan(value):
        return Cell(_why_empty(data, row))
    return Cell(number(value), "" if math.isnan(low) else f"[{number(low)}, {number(high)}]", value)


def _why_empty(data: DataSetResult, row: Mapping[str, Any]) -> str:
    return "failed" if data.metrics[row["metric"]].error else "undefined"


def _spread(data: DataSetResult, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Cell]]:
    """Lowest, median and highest score: what can be said where nobody was asked."""
    columns = {}
    for head, quantile in (("lowest", 0.0), ("median", 0.5), ("highest", 1.0)):
        values = [float(data.scores[row["metric"]].quantile(quantile)) for row in rows]
        columns[head] = [
            Cell(_why_empty(data, row)) if math.isnan(value) else Cell(f"{value:.4g}", value=value)
            for value, row in zip(values, rows, strict=True)
        ]
    return columns


def _best_marked(cells: Sequence[Cell]) -> list[Cell]:
    """The highest marked, if it is good at all and there is something that it is higher than."""
    numbers = [cell.value for cell in cells if not math.isnan(cell.value)]
    best = max(numbers, default=0.0)
    return [replace(c, best=True) if len(numbers) > 1 and c.value == best > 0 else c for c in cells]


def _milliseconds(seconds: float) -> Cell:
    if math.isnan(seconds):
        return Cell(_UNKNOWN)
    return Cell(f"{seconds * 1000:.{0 if seconds >= 0.1 else 1}f}", value=seconds * 1000)


def number(value: float) -> str:
    """A correlation, with three digits; never '-0.000'."""
    return f"{round(value, 3) + 0.0:.3f}"  # adding zero drops the sign of a negative one


def _counts(rows: Iterable[Mapping[str, Any]]) -> str:
    """How many images: '300', or '298 to 300' if it depends on the metric, those that failed aside."""
    counts = {row["n"] for row in rows if row["n"]} or {0}
    return str(max(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
