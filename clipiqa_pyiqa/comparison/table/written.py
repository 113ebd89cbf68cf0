"""Tables of methods and the sentences around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas

from ...errors import counted
from ...prompts.provenance import in_short, in_words
from ...report.table import Cell, Column, Mark, Table, latex, number, p_value, signed
from ...stats.paired_means import FEW, FEWEST
from ..differences import SIGNIFICANT
from ..outputs import key_lines, tables_as_text
from .expected import Expected
from .explain import summarize
from .values import Column as MetricColumn
from .values import MethodScores

_MARKS = "* best of its column, ° second best; in the differences, * is better and ▼ is worse by more than chance"
_VIEWED = ("crop_border", "square", "longest", "center", "autocast")
_RANKS: tuple[Mark, ...] = ("", "best", "second")
Keys = Sequence[tuple[str, str]]


def table_as_text(found: MethodScores, format: str) -> str:
    tables = [method_table(found), difference_table(found), expected_table(found)]
    marks = _MARKS if len(found.methods) > 1 else ""
    about: dict[str, Any] = {"metrics": metric_lines(found), "settings": found.settings, "marks": marks}
    return tables_as_text(format, [t for t in tables if t is not None], found.frame, reading=legend(found), **about)


def method_table(found: MethodScores) -> Table:
    pictures = sum(map(len, found.pictures.test_sets.values()))
    title = f"{counted(len(found.methods), 'method')} on {counted(pictures, 'picture')}"
    title += f" of {len(found.test_sets)} test sets" * (len(found.test_sets) > 1)
    keys = [(test_set, label) for test_set in found.test_sets for label in found.labels]
    return _table(found, title, keys, found.methods, _mean, legend(found, alone=True), _reasons(found))


def difference_table(found: MethodScores) -> Table | None:
    differs = found.cells["difference"].notna().groupby(level=["test_set", "metric"]).any()
    keys = [(s, label) for s in found.test_sets for label in found.labels if differs.get((s, label), False)]
    if not keys:
        return None
    others = [method for method in found.methods if method != found.baseline]
    title = f"Differences from {found.baseline}, on the same pictures"
    return _table(found, title, keys, others, _difference, [_about_differences(found)])


def expected_table(found: MethodScores) -> Table | None:
    if not found.expected:
        return None
    known = {(each.test_set, each.metric, each.method): each for each in found.expected}
    cells = {key: _beside(found, each) for key, each in known.items()}
    keys = [(s, n) for s in found.test_sets for n in found.labels if any((s, n, m) in known for m in found.methods)]
    methods = [m for m in found.methods if any((s, n, m) in known for s, n in keys)]
    rows = [(Cell(m), *(cells.get((s, n, m), Cell("")) for s, n in keys)) for m in methods]
    count = len(known) - len(found.wrong)
    text = f"{count} of {len(known)} published numbers agree, within one unit of their last digit (✓)."
    columns = (Column("method"), *(Column(label, "", test_set) for test_set, label in keys))
    after = () if found.explained is None else tuple(summarize(found.explained, found.wrong))
    return Table("Beside published numbers", columns, tuple(rows), left_out=after, reading=(text,), before=(text,))


def expected_frame(found: MethodScores) -> pandas.DataFrame:
    rows = []
    for each in found.expected:
        value = found.computed(each)
        names = {"test_set": each.test_set, "method": each.method, "metric": each.metric, "published": each.text}
        rows.append({**names, "computed": value, "units": each.units(value), "agrees": each.agrees(value)})
    return pandas.DataFrame(rows)


def describe_metrics(found: MethodScores, format: str = "table") -> str:
    """Return a sentence per metric for a paper's appendix."""
    lines = [_describe(label, column) for label, column in found.columns.items()]
    if format == "latex":
        lines = [r"\begin{itemize}", *(rf"\item {latex(line)}" for line in lines), r"\end{itemize}"]
    return "".join(f"{line}\n" for line in lines)


def legend(found: MethodScores, alone: bool = False) -> list[str]:
    """Return sentences that explain the tables, or only the table of means if ``alone``."""
    sizes = {test_set: len(names) for test_set, names in found.pictures.test_sets.items()}
    counts = found.cells["n"][found.cells["n"] > 0]
    is_lost = any(n < sizes[test_set] for (test_set, *_), n in counts.items())
    of = "the pictures of each test set" if len(sizes) > 1 else counted(sum(sizes.values()), "picture")
    text = f"Mean{' ± standard deviation' * bool(len(counts))} over {of}"
    text += " (a picture on which a metric failed is left out of every method)" * is_lost
    best = "the best is bold, the second best underlined, " * (len(found.methods) > 1)
    differences = [_about_differences(found)] if not alone and difference_table(found) else []
    return [f"{text}; {best}↑ higher and ↓ lower is better.", *differences, *found.notes]


def metric_lines(found: MethodScores) -> list[str]:
    lines = []
    for label, column in found.columns.items():
        provenance = column.metric.provenance
        if column.metric.error and set(provenance) <= {"metric"}:
            continue  # the metric could not be built
        if "scores" in provenance:
            lines.append(f"{label} is {in_short(provenance)}")
        else:
            lines.append(f"{label} is {', '.join(key_lines(in_words(provenance))) or 'unknown'}")
    return lines


def _table(
    found: MethodScores,
    title: str,
    keys: Keys,
    methods: Sequence[str],
    cell: Callable[[MethodScores, str, pandas.Series], Cell],
    reading: Sequence[str],
    reasons: dict[str, str] | None = None,
) -> Table:
    columns = [Column(label, "lower" if found.lower_better(label) else "higher", s) for s, label in keys]
    rows = [(Cell(m), *(cell(found, label, found.cells.loc[(s, label, m)]) for s, label in keys)) for m in methods]
    return Table(title, (Column("method"), *columns), tuple(rows), reasons=reasons or {}, reading=tuple(reading))


def _mean(found: MethodScores, label: str, value: pandas.Series) -> Cell:
    if math.isnan(value["mean"]):
        return Cell("–")
    digits = found.digits(label)
    detail = "" if math.isnan(value["sd"]) else f"± {number(value['sd'], digits)}"
    return Cell(number(value["mean"], digits), detail, value["mean"], _RANKS[value["rank"]])


def _difference(found: MethodScores, label: str, value: pandas.Series) -> Cell:
    apart, digits = value["difference"], found.digits(label)
    if math.isnan(apart):
        return Cell("–")
    text = signed(apart, digits) if round(apart, digits) else number(apart, digits)
    detail = ""
    if not math.isnan(value["p"]):
        is_lowest = value["p"] <= 2.0 ** (1 - value["n"])  # the lowest p of n pictures
        interval = f"[{number(value['low'], digits)}, {number(value['high'], digits)}]"
        detail = f"{interval} {p_value(value['p Holm'], is_lowest)}"
    is_better = (apart < 0) == found.lower_better(label)
    mark: Mark = ("gain" if is_better else "loss") if value["significant"] else ""
    return Cell(text, detail, apart, mark)


def _beside(found: MethodScores, expected: Expected) -> Cell:
    value = found.computed(expected)
    if math.isnan(value):
        return Cell("–", f"✗ published {expected.text}")
    sign = "✓" if expected.agrees(value) else "✗"
    text = number(value, len(expected.text.partition(".")[2]))
    return Cell(text, f"{sign} published {expected.text}, {expected.units(value):+.1f} units", value)


def _describe(label: str, column: MetricColumn) -> str:
    provenance = column.metric.provenance
    words = in_words(provenance)
    if "scores" in provenance:
        (record, *_) = provenance["scores"].values()
        pairs = len(record.get("questions", ()))
        prompts = {0: "a fitted head", 1: "one prompt pair", 5: "five prompt pairs"}.get(pairs, f"{pairs} prompt pairs")
        prompts = "learned prompts" if record.get("learned") else prompts
        prompts = provenance.get("view", prompts)  # of this package's other CLIP metrics
        weights = f"{words['backbone']} {words['weights']}"
        parts = [f"clipiqa-pyiqa {words['version']} {words['metric']}", prompts, weights]
    else:
        options = [f"{key} {value}" for key, value in words.items() if key not in ("metric", "pyiqa", *_VIEWED)]
        name = words.get("metric", label)
        parts = [f"pyiqa {words['pyiqa']} {name}" if "pyiqa" in words else name, *options]
    parts += [column.computed_on.partition(",")[0], column.view, words.get("precision", "fp32")]
    return f"{label}: {', '.join(filter(None, parts))}."


def _reasons(found: MethodScores) -> dict[str, str]:
    protocol, columns = found.protocol, found.columns
    not_computed = protocol.not_computed if protocol else {}
    reasons = {label: f"not computed here: {why}" for label, why in not_computed.items() if label not in columns}
    for label, column in columns.items():
        if why := "; ".join(filter(None, (column.metric.error, column.metric.note))):
            reasons[label] = why
    if protocol and found.score and found.cells.xs(found.score, level="metric")["mean"].isna().any():
        missing = [label for label in columns if label != found.score and found.lacks_values(label)]
        missing += [label for label in not_computed if label not in columns]
        missing += [name for name in protocol.values if name not in found.inputs]
        reasons[found.score] = f"needs all of its parts; missing: {', '.join(missing) or 'none, but it is undefined'}."
    return reasons


def _about_differences(found: MethodScores) -> str:
    fewest = int(found.cells["n"][found.cells["n"] > 0].min())
    text = (
        f"Differences are each method minus {found.baseline}, picture by picture, with a 95 % interval (Student's t, "
        "widened for skewed differences) and p by Holm's rule for "
        f"{counted(int(found.cells['difference'].notna().sum()), 'difference')}; p ≤ marks the lowest p that so "
        f"few pictures allow. More than chance (p < {SIGNIFICANT}): bold is better, ▼ is worse."
    )
    if fewest < FEWEST:
        return f"{text} {counted(fewest, 'picture')} cannot show a difference: {FEWEST} are needed."
    return text + f" With fewer than {FEW} pictures, skewed differences are less certain." * (fewest < FEW)
