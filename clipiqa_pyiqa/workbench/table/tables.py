"""The tables of ``table``: means, differences, published numbers and an earlier table, with how to read them."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pandas import DataFrame, Series

from ...text import counted
from ..report.cell_texts import interval, number, p_value
from ..report.labels import Relabelling
from ..report.table import DAGGER, Cell, Mark, Table, TableColumn, word_column
from ..stats.mean_differences import FEW
from ..stats.significance import LEVEL, cases_needed
from .expected import decimals

if TYPE_CHECKING:
    from .method_table import MethodTable

_LISTED = 20  # most changes that are listed
HEADINGS = ("method", "metric", "published", "computed", "units", "what", "was", "now", "why")
"""Headings that tables may have beside names of methods, metrics and test sets."""
_COLUMN_KEYS = ["test_set", "metric"]
_BETWEEN_MACHINES = {"niqe": 0.02}  # largest difference of an image's score; docs/published-numbers.md
_GAPS_IN_WORDS = ", ".join(f"{metric}: {gap}" for metric, gap in _BETWEEN_MACHINES.items())


def build_tables(method_table: "MethodTable", relabelled: Relabelling = str) -> list[Table]:
    """Return the tables of a result that have something to show; only names in sentences are relabelled."""
    tables = [
        _means(method_table, relabelled),
        _differences(method_table, relabelled),
        _published(method_table, relabelled),
        _changes(method_table),
    ]
    return [table for table in tables if table is not None]


def _columns_of(
    method_table: "MethodTable", rows: DataFrame, cell_of: Callable[[Series, int], Cell]
) -> list[TableColumn]:
    """Return a column of methods, then one for each test set and metric.

    Args:
        rows: Rows of ``MethodTable.cells``; a row becomes a cell.
        cell_of: Function of a row, and of how many decimals its numbers have, that returns the cell.
    """
    columns = [word_column("method", rows.index.unique("method"))]
    for (test_set, label), rows_of_column in rows.groupby(_COLUMN_KEYS, sort=False):
        digits = method_table.digits(label)
        cells = [cell_of(row, digits) for _, row in rows_of_column.iterrows()]
        columns.append(TableColumn(label, cells, rows_of_column["direction"].iloc[0], test_set))
    return columns


def _means(method_table: "MethodTable", relabelled: Relabelling) -> Table:
    """Return the table of the methods' means."""
    cells = method_table.cells.assign(mark=method_table.marks)
    if not method_table.sd:
        cells["sd"] = math.nan
    counts = cells["n"].groupby(_COLUMN_KEYS, sort=False).max()
    largest_counts = counts.groupby("test_set", sort=False).max()
    scored = counted(largest_counts.sum() or len(method_table.matched.files), "image")  # 0: all metrics are of sets
    extent = scored
    if len(largest_counts) > 1:
        of_sets = [f"{relabelled(test_set)} {count:,}" for test_set, count in largest_counts.items()]
        extent = f"the images of a test set ({', '.join(of_sets)})"
    what = "Mean ± standard deviation" if method_table.sd else "Mean"
    legend = [f"{what} over {extent}; ↑ higher and ↓ lower is better."]
    if any(metric.note for metric in method_table.metrics.values()):
        legend.append("An image on which a metric failed is left out of every method.")
    note_on_fewer = _note_on_fewer(counts, relabelled)
    if note_on_fewer:
        legend.append(note_on_fewer)
    legend += method_table.notes
    return Table(
        f"{counted(len(method_table.methods), 'method')} on {scored}",
        _columns_of(method_table, cells, _cell_of_mean),
        reasons=_reasons(method_table),
        legend=legend,
        dagger_note=f"{DAGGER} differs from {relabelled(method_table.baseline)} by more than chance (p < {LEVEL} after "
        "Holm's correction).",
    )


def _note_on_fewer(counts: Series, relabelled: Relabelling) -> str:
    """Return which metrics have scores of fewer images than others of their test set; empty if none has."""
    most = counts.groupby("test_set").max()
    fewer = [
        f"{relabelled(test_set)} {relabelled(label)} (n = {count})".strip()
        for (test_set, label), count in counts.items()
        if 0 < count < most[test_set]
    ]
    return f"Means over fewer images: {', '.join(fewer)}." if fewer else ""


def _reasons(method_table: "MethodTable") -> dict[str, str]:
    """Return label -> why its cells are empty, or a remark."""
    reasons = {
        label: f"not computed here: {why}"
        for label, why in method_table.protocol.not_computed.items()
        if label not in method_table.metrics
    }
    for label, metric in method_table.metrics.items():
        if why := metric.error or metric.note:
            reasons[label] = why
    score = method_table.protocol.score
    if score and method_table.cells["mean"].xs(score, level="metric").hasnans:
        reasons[score] = "its formula needs all of its scores and values."
    return reasons


def _differences(method_table: "MethodTable", relabelled: Relabelling) -> Table | None:
    """Return the table of paired differences from the baseline; None if there are none."""
    cells = method_table.cells
    compared = cells[cells["difference"].groupby(_COLUMN_KEYS).transform("count") > 0]
    compared = compared.drop(method_table.baseline, level="method")
    if compared.empty:
        return None
    title = f"Differences from {relabelled(method_table.baseline)} [95 %, uncorrected], p (Holm)"
    is_lowest = compared["p"] <= 2.0 ** (1 - compared["n"])  # the lowest p of n images
    compared = compared.assign(is_lowest=is_lowest)
    columns = _columns_of(method_table, compared, _cell_of_difference)
    return Table(title, columns, before=list(_reading_of_differences(compared)))


def _reading_of_differences(compared: DataFrame) -> Iterator[str]:
    """Yield how to read the differences, in sentences."""
    count = compared["p"].count() or 1
    yield (
        "In brackets: the 95 % interval of each difference alone, image by image (Student's t, widened for skewed and "
        f"for repeated differences). p is corrected by Holm's rule for {counted(count, 'difference')} in this table, "
        f"so it may be above {LEVEL} beside an interval without 0. Where p < {LEVEL}, the difference is larger than "
        "chance explains."
    )
    if compared["is_lowest"].any():
        yield "“p ≤” means that p cannot be lower with so few images."
    fewest = compared["n"][compared["difference"].notna()].min()
    if fewest < cases_needed(count):
        yield f"Fewer than {cases_needed(count)} images cannot show any of these differences."
    if fewest < FEW:
        yield f"With fewer than {FEW} images, skewed differences are less certain."


def _changes(method_table: "MethodTable") -> Table | None:
    """Return what differs from an earlier table; None without one."""
    changed = method_table.changed
    if changed is None:
        return None
    before = [
        f"{counted(len(changed), 'value')} of the earlier table changed. Smaller differences (up to 1e-5) are rounding "
        "and not listed."
    ]
    if len(changed) > _LISTED:
        before.append(f"The first {_LISTED} are listed; where the table is saved, changes.csv lists all.")
    columns = [word_column(name, changed[name].head(_LISTED)) for name in changed]
    return Table("Beside an earlier table", columns, before)


def _cell_of_mean(row: Series, digits: int) -> Cell:
    """Return a mean with its standard deviation."""
    detail = "" if math.isnan(row["sd"]) else f"± {number(row['sd'], digits)}"
    text = number(row["mean"], digits)
    return Cell(text, detail, row["mean"], row["mark"], has_dagger=bool(row["significant"]))


def _cell_of_difference(row: Series, digits: int) -> Cell:
    """Return a difference with its interval and p-value."""
    difference = row["difference"]
    detail = ""
    if not math.isnan(row["p"]):
        p = p_value(row["p Holm"], row["is_lowest"])
        detail = f"{interval(row['low'], row['high'], digits)} {p}"
    is_better = (difference < 0) == (row["direction"] == "lower")
    mark: Mark = ""
    if row["significant"]:
        mark = "gain" if is_better else "loss"
    return Cell(number(difference, digits, "+"), detail, difference, mark)


def _published(method_table: "MethodTable", relabelled: Relabelling) -> Table | None:
    """Return the published numbers beside the computed ones; None without published numbers."""
    expected: Any = method_table.expected
    if expected is None:
        return None
    rows = []
    verdicts = []
    for row in expected.itertuples():
        verdict = _verdict(row)
        verdicts.append(verdict)
        digits = 4 if row.published == "–" else decimals(row.published)
        method = f"{relabelled(row.test_set)} {relabelled(row.method)}".strip()
        computed = f"{number(row.computed, digits)} {verdict}"
        rows.append((method, row.metric, row.published, computed, number(row.units, 1)))
    agrees = expected["agrees"]
    before = [
        f"{agrees.eq(True).sum()} of {agrees.count()} published numbers agree within one unit of the last digit (✓)."
    ]
    if "≈" in verdicts:
        before.append(f"≈ marks a gap that is known between machines ({_GAPS_IN_WORDS}).")
    if expected["averaged"].any():
        before.append("Published numbers of single images are averaged.")
    if method_table.unknown:
        before.append(f"Published, but not in this table: {method_table.unknown}")
    if method_table.explained is not None:
        before += _trials(method_table.explained, relabelled)
    headings = ("method", "metric", "published", "computed", "units")
    return Table("Beside published numbers", list(map(word_column, headings, zip(*rows, strict=True))), before)


def _verdict(row: Any) -> str:
    """Return whether a computed number agrees with the published one, as a mark or in words."""
    if row.published == "–":
        return "not compared"
    if math.isnan(row.computed):
        return "not computed"
    if row.agrees:
        return "✓"
    gap = abs(row.computed - float(row.published))
    return "≈" if gap <= _BETWEEN_MACHINES.get(row.metric.lower(), 0) else "✗"


def _trials(explained: DataFrame, relabelled: Relabelling) -> Iterator[str]:
    """Yield a line per metric: changes that explain its numbers, their options, and how many were tried."""
    if explained.empty:
        yield "No number differs that a change to its metric could explain, so no change was tried."
    for metric, rows in explained.groupby("metric", sort=False):
        tried = rows[rows["verdict"] != "not tried"].groupby("change", sort=False)
        fits = [
            f"{change} explains it ({trials['option'].iloc[0]})"
            for change, trials in tried
            if trials["verdict"].eq("fits").all()
        ]
        explanation = " or ".join(fits) or "none explains it"
        yield (
            f"{relabelled(metric)}: of the {counted(len(tried), 'change')} tried, {explanation}; "
            f"{rows['change'].nunique() - len(tried)} could not be tried."
        )
