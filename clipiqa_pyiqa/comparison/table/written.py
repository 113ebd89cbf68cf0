"""A table of methods for the console, and as CSV, Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ...errors import counted, first_of
from ...files.names import one_line
from ...prompts.provenance import in_short, in_words
from ...report.table import Cell, Table, console_table, latex_document, markdown, markdown_table, number
from ...stats.paired_means import FEW, FEWEST
from ..differences import SIGNIFICANT
from ..summary import key_lines
from ..table_files import csv_of
from .results import MethodTable, Value


def method_table(found: MethodTable) -> Table:
    """Methods down, metrics across, test set by test set: mean and standard deviation, best and second best."""
    columns, groups = _heads(found)
    rows = []
    for method in found.methods:
        cells = [_cell(found.values[key][method], digits_of(found, key[1])) for key in columns]
        rows.append((Cell(method), *cells))
    heads = tuple(f"{label} {'↓' if found.lower_better(label) else '↑'}" for _, label in columns)
    return Table(
        _title(found), ("method", *heads), tuple(rows), reasons=_reasons(found),
        reading=(_means(found), *found.notes), groups=groups,
    )  # fmt: skip


def difference_table(found: MethodTable) -> Table | None:
    """What the methods differ from the baseline by; none if there is nothing to compare."""
    columns, groups = _heads(found, lambda key: any(v.difference for v in found.values[key].values()))
    if not columns:
        return None
    rows = []
    for method in found.methods:
        if method != found.baseline:
            cells = [_difference(found.values[key][method], digits_of(found, key[1])) for key in columns]
            rows.append((Cell(method), *cells))
    heads = tuple(f"{label} {'↓' if found.lower_better(label) else '↑'}" for _, label in columns)
    title = f"Differences from {found.baseline}, on the same pictures"
    return Table(title, ("method", *heads), tuple(rows), reading=(_differences_are(found),), groups=groups)


def legend(found: MethodTable) -> list[str]:
    """How to read the numbers and what they are, a sentence each."""
    lines = [_means(found)]
    if difference_table(found) is not None:
        lines.append(_differences_are(found))
    return [*lines, *found.notes]


def metrics_exactly(found: MethodTable) -> list[str]:
    """Which metric each column is, a line each; of CLIP-IQA, which of them."""
    lines = []
    for label, column in found.columns.items():
        provenance = column.metric.provenance
        if column.metric.error and set(provenance) <= {"metric"}:
            continue  # it could not be built
        if "scores" in provenance:
            lines.append(f"{label} is the CLIP-IQA {in_short(provenance)}")
        else:
            lines.append(f"{label} is {', '.join(key_lines(in_words(provenance))) or 'not known any closer'}")
    return lines


def to_text(found: MethodTable) -> str:
    """For a console: aligned columns, a star behind the best, a ring behind the second best."""
    stars = "* best of its column, ° second best; of the differences, * more than chance"
    blocks = ["\n".join(f"# {one_line(line)}" for line in [*legend(found), *metrics_exactly(found), stars])]
    blocks += [console_table(table) for table in _tables(found)]
    return "\n\n".join(blocks) + "\n"


def to_csv(found: MethodTable) -> str:
    """``MethodTable.frame`` in full precision, after ``# …`` lines; ``pandas.read_csv(file, comment='#')``."""
    return csv_of([*legend(found), *metrics_exactly(found), *key_lines(found.settings)], found.frame())


def to_markdown(found: MethodTable) -> str:
    """GitHub's Markdown: the best bold, the second best underlined."""
    blocks = [*map(markdown_table, _tables(found)), _list(legend(found))]
    blocks += ["## Which metrics exactly", _list(metrics_exactly(found))]
    if found.settings:
        blocks += ["## Settings", _list(key_lines(found.settings))]
    return "\n\n".join(blocks) + "\n"


def to_latex(found: MethodTable) -> str:
    """LaTeX that needs ``booktabs`` and ``graphicx``: the best bold, the second best underlined."""
    comments = [*metrics_exactly(found), *key_lines(found.settings)]
    return latex_document(_tables(found), comments)


FORMATS: dict[str, Callable[[MethodTable], str]] = {
    "table": to_text,
    "csv": to_csv,
    "markdown": to_markdown,
    "latex": to_latex,
}


def _tables(found: MethodTable) -> Iterator[Table]:
    yield method_table(found)
    if (differences := difference_table(found)) is not None:
        yield differences


def _heads(
    found: MethodTable, wanted: Callable[[tuple[str, str]], bool] = lambda key: True
) -> tuple[list[tuple[str, str]], tuple[tuple[str, int], ...]]:
    """(Test set, metric) of each column, and the test sets over them, if there are any to tell apart."""
    columns = [key for s in found.test_sets for label in found.labels if wanted(key := (s, label))]
    counts = [(s, sum(key[0] == s for key in columns)) for s in found.test_sets]
    return columns, tuple(pair for pair in counts if pair[1]) if found.test_sets != ("",) else ()


def _title(found: MethodTable) -> str:
    pictures = sum(map(len, found.pictures.test_sets.values()))
    sets = f" of {len(found.test_sets)} test sets" if len(found.test_sets) > 1 else ""
    return f"{counted(len(found.methods), 'method')} on {counted(pictures, 'picture')}{sets}"


def digits_of(found: MethodTable, label: str) -> int:
    """Two for values from 10 on, such as decibels, else four."""
    means = [abs(v.mean) for s in found.test_sets for v in found.values[s, label].values() if not math.isnan(v.mean)]
    return 2 if max(means, default=0) >= 10 else 4


def _cell(value: Value, digits: int) -> Cell:
    if math.isnan(value.mean):
        return Cell("–")
    detail = "" if math.isnan(value.deviation) else f"± {number(value.deviation, digits)}"
    mark, second = "best of its column" * (value.rank == 1), "second best of its column" * (value.rank == 2)
    return Cell(number(value.mean, digits), detail, value.mean, mark, second)


def _difference(value: Value, digits: int) -> Cell:
    apart = value.difference
    if apart is None or math.isnan(apart.value):
        return Cell("–")
    sign = "+" if round(apart.value, digits) > 0 else ""
    p = "p < 0.001" if value.p_holm < 0.001 else f"p = {value.p_holm:.3f}"
    detail = "" if math.isnan(apart.p) else f"[{number(apart.low, digits)}, {number(apart.high, digits)}] {p}"
    mark = "more than chance" * value.significant
    return Cell(sign + number(apart.value, digits), detail, apart.value, mark)


def _reasons(found: MethodTable) -> dict[str, str]:
    said = {}
    for label, column in found.columns.items():
        if why := "; ".join(filter(None, (column.metric.error, column.metric.note))):
            said[label] = why
    if found.preset and found.preset.score and any(math.isnan(v.mean) for v in _of(found, found.preset.score)):
        failed = [label for label in found.columns if any(math.isnan(v.mean) for v in _of(found, label))]
        said[found.preset.score] = f"needs all of its metrics, but of {first_of(failed)} there is none."
    return said


def _of(found: MethodTable, label: str) -> list[Value]:
    return [value for s in found.test_sets for value in found.values[s, label].values()]


def _means(found: MethodTable) -> str:
    counts = {value.n for cells in found.values.values() for value in cells.values() if value.n}
    whole = sum(map(len, found.pictures.test_sets.values()))
    lost = " (fewer where a metric failed on one; it is then left out of every method)"
    short = lost if any(_lost(found, s, label) for s, label in found.values) else ""
    of = counted(whole, "picture") if len(found.test_sets) == 1 else "the pictures of each test set"
    deviation = " ± standard deviation" if counts else ""
    marks = "the best is bold, the second best underlined, ↑ higher and ↓ lower is better"
    return f"Mean{deviation} over {of}{short}; {marks}."


def _lost(found: MethodTable, test_set: str, label: str) -> bool:
    counts = {value.n for value in found.values[test_set, label].values() if value.n}
    return bool(counts) and max(counts) < len(found.pictures.test_sets[test_set])


def _differences_are(found: MethodTable) -> str:
    family = sum(v.difference is not None for cells in found.values.values() for v in cells.values())
    counts = [v.n for cells in found.values.values() for v in cells.values() if v.n]
    said = (
        f"Differences are each method less {found.baseline}, picture by picture, with a 95 % interval (Student's t, "
        f"widened for skewed differences) and p by Holm's rule for {counted(family, 'difference')}; what stands out "
        f"(p < {SIGNIFICANT}) is more than chance."
    )
    if counts and min(counts) < FEWEST:
        said += f" {counted(min(counts), 'picture')} cannot show a difference: {FEWEST} are needed."
    elif counts and min(counts) < FEW:
        said += f" With fewer than {FEW} pictures, skewed differences are less certain."
    return said


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {markdown(line)}" for line in lines)
