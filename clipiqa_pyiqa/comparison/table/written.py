"""A table of methods for the console, and as CSV, Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

from ...errors import counted
from ...files.names import one_line
from ...prompts.provenance import in_short, in_words
from ...report.table import (
    Cell,
    Column,
    Mark,
    Table,
    console_table,
    csv_table,
    latex,
    latex_document,
    markdown_list,
    markdown_table,
    number,
    p_value,
    signed,
)
from ...stats.paired_means import FEW, FEWEST
from ..differences import SIGNIFICANT
from ..summary import key_lines
from .explain import said_of
from .values import Column as MetricColumn
from .values import Expected, Explained, MethodScores, Value

_SIGNS = "* best of its column, ° second best; of the differences, * better and ▼ worse, by more than chance"
_VIEWED = ("crop_border", "square", "longest", "center", "autocast")
_RANKS: tuple[Mark, ...] = ("", "best", "second")


def method_table(found: MethodScores) -> Table:
    """Return methods down, metrics across, test set by test set: mean and standard deviation, the two best marked."""
    pictures = sum(map(len, found.pictures.test_sets.values()))
    title = f"{counted(len(found.methods), 'method')} on {counted(pictures, 'picture')}"
    title += f" of {len(found.test_sets)} test sets" * (len(found.test_sets) > 1)
    return _table(
        found, title, [(s, n) for s in found.test_sets for n in found.labels], found.methods, _mean, legend(found),
        reasons=_reasons(found),
    )  # fmt: skip


def difference_table(found: MethodScores) -> Table | None:
    """Return what the methods differ from the baseline by; None if there is nothing to compare."""
    keys = [
        (s, n) for s in found.test_sets for n in found.labels if any(v.difference for v in found.values[s, n].values())
    ]
    if not keys:
        return None
    others = [method for method in found.methods if method != found.baseline]
    title = f"Differences from {found.baseline}, on the same pictures"
    return _table(found, title, keys, others, _difference, [_differences_are(found)])


def expected_table(found: MethodScores) -> Table | None:
    """Return published numbers beside computed ones; None if there are none."""
    if not found.expected:
        return None
    known = {(e.test_set, e.metric, e.method): e for e in found.expected}
    keys = [(s, n) for s in found.test_sets for n in found.labels if any((s, n, m) in known for m in found.methods)]
    methods = [m for m in found.methods if any((s, n, m) in known for s, n in keys)]
    rows = [(Cell(m), *(_beside(found, known.get((s, n, m))) for s, n in keys)) for m in methods]
    count = len(found.expected) - len(found.wrong)
    said = f"{count} of {len(found.expected)} published numbers agree, within one unit of their last digit (✓)."
    columns = (Column("method"), *(Column(n, "", s) for s, n in keys))
    after = tuple(said_of(found.explained, found.wrong)) if found.explained else ()
    return Table("Beside published numbers", columns, tuple(rows), left_out=after, reading=(said,), before=(said,))


def expected_csv(found: MethodScores) -> str:
    """Return a row per published number: what was computed, how many units of its last digit that is above it."""
    import pandas

    rows = [
        {"test_set": e.test_set, "method": e.method, "metric": e.metric, "published": e.text}
        | {"computed": found.computed(e), "units": e.units(found.computed(e)), "agrees": e.agrees(found.computed(e))}
        for e in found.expected
    ]
    return csv_table(pandas.DataFrame(rows))


def explained_csv(found: MethodScores) -> str:
    """Return a row per published number that differs and change that was tried."""
    import pandas

    names = [each.name for each in fields(Explained)]
    return csv_table(pandas.DataFrame([vars(row) for row in found.explained], columns=names))


def described(found: MethodScores, format: str = "table") -> str:
    """Return a sentence per metric for a paper's appendix; for ``format='latex'`` as a list in LaTeX."""
    lines = [_described(label, column) for label, column in found.columns.items()]
    if format == "latex":
        return "\n".join([r"\begin{itemize}", *(rf"\item {latex(line)}" for line in lines), r"\end{itemize}"]) + "\n"
    return "".join(f"{line}\n" for line in lines)


def tables(found: MethodScores) -> list[Table]:
    """Return every table."""
    return [
        table for table in (method_table(found), difference_table(found), expected_table(found)) if table is not None
    ]


def legend(found: MethodScores) -> list[str]:
    """Return how to read the means and what they are, a sentence each."""
    counts = [{v.n for v in cells.values() if v.n} for cells in found.values.values()]
    sizes = [len(found.pictures.test_sets[s]) for s, _ in found.values]
    lost = any(n and max(n) < size for n, size in zip(counts, sizes, strict=True))
    of = "the pictures of each test set" if len(found.test_sets) > 1 else counted(sum(set(sizes)), "picture")
    said = f"Mean{' ± standard deviation' * any(counts)} over {of}"
    said += " (fewer where a metric failed on one; it is then left out of every method)" * lost
    return [f"{said}; the best is bold, the second best underlined, ↑ higher and ↓ lower is better.", *found.notes]


def reading(found: MethodScores) -> list[str]:
    """Return how to read all tables, a sentence each."""
    means, *notes = legend(found)
    return [means, *[_differences_are(found)] * (difference_table(found) is not None), *notes]


def metrics_exactly(found: MethodScores) -> list[str]:
    """Return which metric each column is, a line each; of CLIP-IQA, which of them."""
    lines = []
    for label, column in found.columns.items():
        provenance = column.metric.provenance
        if column.metric.error and set(provenance) <= {"metric"}:
            continue  # it could not be built
        if "scores" in provenance:
            lines.append(f"{label} is {in_short(provenance)}")
        else:
            lines.append(f"{label} is {', '.join(key_lines(in_words(provenance))) or 'not known any closer'}")
    return lines


def to_text(found: MethodScores) -> str:
    """Return the tables for a console."""
    head = "\n".join(f"# {one_line(line)}" for line in [*reading(found), *metrics_exactly(found), _SIGNS])
    return "\n\n".join([head, *map(console_table, tables(found))]) + "\n"


def to_csv(found: MethodScores) -> str:
    """Return ``frame()`` in full precision, after ``# …`` lines; ``pandas.read_csv(file, comment='#')``."""
    return csv_table(found.frame(), [*reading(found), *metrics_exactly(found), *key_lines(found.settings)])


def to_markdown(found: MethodScores) -> str:
    """Return GitHub's Markdown."""
    blocks = [*map(markdown_table, tables(found)), markdown_list(reading(found))]
    blocks += ["## Which metrics exactly", markdown_list(metrics_exactly(found))]
    if found.settings:
        blocks += ["## Settings", markdown_list(key_lines(found.settings))]
    return "\n\n".join(blocks) + "\n"


def to_latex(found: MethodScores) -> str:
    """Return LaTeX; which packages it needs is said in its first line."""
    return latex_document(tables(found), [*metrics_exactly(found), *key_lines(found.settings)])


FORMATS: dict[str, Callable[[MethodScores], str]] = {
    "table": to_text,
    "csv": to_csv,
    "markdown": to_markdown,
    "latex": to_latex,
}


def _table(
    found: MethodScores,
    title: str,
    keys: list[tuple[str, str]],
    methods: list[str] | tuple[str, ...],
    cell: Callable[[MethodScores, str, Value], Cell],
    read: list[str],
    reasons: dict[str, str] | None = None,
) -> Table:
    columns = [Column(n, "lower" if found.lower_better(n) else "higher", s) for s, n in keys]
    rows = [(Cell(m), *(cell(found, n, found.values[s, n][m]) for s, n in keys)) for m in methods]
    return Table(title, (Column("method"), *columns), tuple(rows), reasons=reasons or {}, reading=tuple(read))


def _mean(found: MethodScores, label: str, value: Value) -> Cell:
    if math.isnan(value.mean):
        return Cell("–")
    digits = found.digits(label)
    detail = "" if math.isnan(value.deviation) else f"± {number(value.deviation, digits)}"
    return Cell(number(value.mean, digits), detail, value.mean, _RANKS[value.rank])


def _difference(found: MethodScores, label: str, value: Value) -> Cell:
    apart, digits = value.difference, found.digits(label)
    if apart is None or math.isnan(apart.value):
        return Cell("–")
    text = signed(apart.value, digits) if round(apart.value, digits) else number(apart.value, digits)
    interval = f"[{number(apart.low, digits)}, {number(apart.high, digits)}]"
    detail = "" if math.isnan(apart.p) else f"{interval} {p_value(value.p_holm, value.p_at_floor)}"
    gained = (apart.value < 0) == found.lower_better(label)
    mark: Mark = ("gain" if gained else "loss") if value.significant else ""
    return Cell(text, detail, apart.value, mark)


def _beside(found: MethodScores, expected: Expected | None) -> Cell:
    if expected is None:
        return Cell("")
    value = found.computed(expected)
    if math.isnan(value):
        return Cell("–", f"{expected.text} published ✗")
    sign = "✓" if expected.agrees(value) else "✗"
    text = number(value, len(expected.text.partition(".")[2]))
    return Cell(text, f"{expected.text} published, {expected.units(value):+.1f} {sign}", value)


def _described(label: str, column: MetricColumn) -> str:
    provenance = column.metric.provenance
    said = in_words(provenance)
    if "scores" in provenance:
        (record, *_) = provenance["scores"].values()
        pairs = len(record.get("questions", ()))
        asked = {0: "a fitted head", 1: "one prompt pair", 5: "five prompt pairs"}.get(pairs, f"{pairs} prompt pairs")
        asked = "learned prompts" if record.get("learned") else asked
        asked = provenance.get("view", asked)  # of the other metrics of CLIP
        parts = [f"clipiqa-pyiqa {said['version']} {said['metric']}", asked, f"{said['backbone']} {said['weights']}"]
    else:
        shown = [f"{key} {value}" for key, value in said.items() if key not in ("metric", "pyiqa", *_VIEWED)]
        parts = [f"pyiqa {said['pyiqa']} {said['metric']}" if "pyiqa" in said else said.get("metric", label), *shown]
    parts += [column.computed_on.partition(",")[0], column.view, said.get("precision", "fp32")]
    return f"{label}: {', '.join(filter(None, parts))}."


def _reasons(found: MethodScores) -> dict[str, str]:
    """Why cells of metrics are empty."""
    said = dict(found.protocol.not_computed) if found.protocol else {}
    said = {label: f"not computed here: {why}" for label, why in said.items() if label not in found.columns}
    for label, column in found.columns.items():
        if why := "; ".join(filter(None, (column.metric.error, column.metric.note))):
            said[label] = why
    if found.protocol and found.score and any(math.isnan(value.mean) for value in found.cells(found.score)):
        parts = [n for n in found.columns if n != found.score and any(math.isnan(v.mean) for v in found.cells(n))]
        parts += [n for n in found.protocol.not_computed if n not in found.columns]
        parts += [name for name in found.protocol.values if name not in found.inputs]
        said[found.score] = f"needs all of its parts; missing: {', '.join(parts) or 'none, but they have no score'}."
    return said


def _differences_are(found: MethodScores) -> str:
    cells = [v for each in found.values.values() for v in each.values()]
    counts = [v.n for v in cells if v.n]
    family = counted(sum(v.difference is not None for v in cells), "difference")
    said = (
        f"Differences are each method less {found.baseline}, picture by picture, with a 95 % interval (Student's t, "
        f"widened for skewed differences) and p by Holm's rule for {family}; p ≤ stands where so few pictures allow no "
        f"lower one. More than chance (p < {SIGNIFICANT}): bold is better, ▼ is worse."
    )
    if counts and min(counts) < FEWEST:
        said += f" {counted(min(counts), 'picture')} cannot show a difference: {FEWEST} are needed."
    elif counts and min(counts) < FEW:
        said += f" With fewer than {FEW} pictures, skewed differences are less certain."
    return said
