"""Tables, and their writers for a console, Markdown, LaTeX and CSV."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

from ...files.printable import one_line
from ..files.csv_files import csv_line

if TYPE_CHECKING:
    import pandas

Mark = Literal["", "best", "second", "gain", "loss"]
_CONSOLE: dict[Mark, str] = {"best": "*", "gain": "*", "second": "°", "loss": "▼"}
_MARKDOWN: dict[Mark, str] = {"best": "**{}**", "gain": "**{}**", "second": "<ins>{}</ins>", "loss": "{} ▼"}
_LATEX: dict[Mark, str] = {
    "best": r"\textbf{%s}",
    "gain": r"\textbf{%s}",
    "second": r"\underline{%s}",
    "loss": r"\textcolor{orange!70!black}{%s\,{\scriptsize$\bigtriangledown$}}",
}
DAGGER = "†"
PACKAGES = r"\usepackage{booktabs,graphicx,xcolor}"


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        detail: Interval and p-value, shown smaller.
        value: The number to sort by; NaN for words.
        has_dagger: Whether ``†`` stands behind the text.
    """

    text: str
    detail: str = ""
    value: float = math.nan
    mark: Mark = ""
    has_dagger: bool = False


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes:
        group: Heading over neighbouring columns of a group.
    """

    name: str
    cells: Sequence[Cell]
    better: Literal["", "higher", "lower"] = ""
    group: str = ""

    @property
    def heading(self) -> str:
        return f"{self.name} {'↓' if self.better == 'lower' else '↑'}" if self.better else self.name

    @property
    def title(self) -> str:
        return f"{self.group} {self.heading}".strip()

    @property
    def is_wordy(self) -> bool:
        return all(math.isnan(cell.value) for cell in self.cells)


@dataclass(frozen=True)
class Table:
    """A table with its notes.

    Attributes:
        reasons: Name of a row or column -> why cells are empty, or a remark.
        dagger_line: Line of the legend that says what ``†`` means; it is shown if a cell has one.
        on_console: Sentence that stands on a console in place of a table that is too long for it.
    """

    title: str
    columns: Sequence[TableColumn]
    before: Sequence[str] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    legend: Sequence[str] = ()
    is_heat_map: bool = False
    section: str = ""
    on_console: str = ""
    dagger_line: str = ""

    @property
    def titles(self) -> list[str]:
        return [column.title for column in self.columns]

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        return list(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def groups(self) -> list[tuple[str, int]]:
        runs = [(name, len(list(run))) for name, run in itertools.groupby(column.group for column in self.columns[1:])]
        return runs if any(name for name, _ in runs) else []

    @property
    def after(self) -> list[str]:
        return [f"{name}: {reason}" for name, reason in self.reasons.items()]


def words(name: str, texts: Iterable[str]) -> TableColumn:
    return TableColumn(name, list(map(Cell, texts)))


def frame_table(frame: pandas.DataFrame, intervals: Collection[str] = (), title: str = "") -> Table:
    """Return a frame as a table, with ``NAME low`` and ``NAME high`` in brackets behind each interval's NAME."""
    texts = frame.map(_text)
    columns = []
    bounds = [f"{name} {end}" for name in intervals for end in ("low", "high")]
    for name, values in frame.items():
        if name not in bounds:
            details = itertools.repeat("")
            if name in intervals:
                details = "[" + texts[f"{name} low"] + ", " + texts[f"{name} high"] + "]"
            cells = [
                Cell(text, detail, float(value) if isinstance(value, Real) else math.nan)
                for text, detail, value in zip(texts[name], details, values, strict=False)
            ]
            columns.append(TableColumn(str(name), cells))
    return Table(title, columns)


def _text(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "–"
    is_tiny = value != 0 and abs(value) < 1e-3
    return f"{value:.1e}" if is_tiny else f"{value:.4f}"


def number(value: float, digits: int = 3, sign: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:{sign}z.{digits}f}"


def interval(low: float, high: float, digits: int = 3) -> str:
    return "" if math.isnan(low) else f"[{number(low, digits)}, {number(high, digits)}]"


def numbers(name: str, values: Iterable[float], digits: int) -> TableColumn:
    return TableColumn(name, [Cell(number(value, digits), value=value) for value in values])


def p_value(p: float, is_lowest: bool) -> str:
    """Return a p-value as text, with ≤ if it is the lowest p-value that the test can give."""
    return "p < 0.001" if p < 0.001 else f"p {'≤' if is_lowest else '='} {p:.3f}"


def console_table(table: Table) -> str:
    if table.on_console:
        return f"{one_line(table.title)}\n  {one_line(table.on_console)}"
    columns = list(map(_aligned, table.columns))
    lines = ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]
    before = [f"  {one_line(line)}" for line in table.before]
    after = [f"  {one_line(line)}" for line in table.after]
    if table.title:
        lines.insert(1, "  ".join("-" * len(column[0]) for column in columns))
        before.insert(0, one_line(table.title))
    return "\n".join([*before, *lines, *after])


def markdown_table(table: Table) -> str:
    lines = [f"## {markdown(table.title)}", ""] if table.title else []
    lines += [line for text in table.before for line in (markdown(text), "")]
    lines.append("| " + " | ".join(map(markdown, table.titles)) + " |")
    lines.append("|" + "|".join("---" if column.is_wordy else "---:" for column in table.columns) + "|")
    for row in table.rows:
        cells = (f"{_MARKDOWN.get(c.mark, '{}').format(markdown(c.text))} {markdown(c.detail)}".rstrip() for c in row)
        lines.append(f"| {' | '.join(cells)} |")
    if table.after:
        lines += ["", markdown_list(table.after)]
    return "\n".join(lines)


def markdown_list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {markdown(line)}" for line in lines)


def latex_document(tables: Iterable[Table], comments: Iterable[str], caption: str, key: str) -> str:
    """Return tables in LaTeX, which need ``PACKAGES``; the caption is the first table's."""
    parts = ["\n".join([f"% {PACKAGES}", *(f"% {one_line(line)}" for line in comments)])]
    for number, table in enumerate(tables, 1):
        parts.append(latex_table(table, caption, key and (key if number == 1 else f"{key}-{number}")))
        caption = ""
    return "\n\n".join(parts) + "\n"


def latex_table(table: Table, caption: str, key: str) -> str:
    import pandas

    full = [column for column in table.columns if {cell.text for cell in column.cells} != {"–"}]
    cells = {(latex(column.group), latex(column.heading)): list(map(_latex_cell, column.cells)) for column in full}
    frame = pandas.DataFrame(cells)
    if not table.groups:
        frame = frame.droplevel(0, axis="columns")
    sides = "".join("l" if column.is_wordy else "r" for column in full)
    body = frame.to_latex(index=False, escape=False, column_format=sides, multicolumn_format="c")
    lines = [r"\begin{table*}[t]", r"\centering\small"]
    label = rf"\label{{{key}}}" if key else ""
    caption = latex(caption or (table.title and f"{table.title}."))
    lines += [rf"\caption{{{caption}}}{label}\medskip"] if caption or label else []
    lines += [r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%", body.rstrip() + r"}\par\medskip"]
    empty = ", ".join(column.title for column in table.columns if column not in full)
    notes = [*table.before, *table.legend, empty and f"Without numbers: {empty}."]
    lines += [rf"\raggedright\footnotesize {latex(note)}\par" for note in notes if note]
    lines += [r"\end{table*}", *(f"% {one_line(line)}" for line in table.after)]
    return "\n".join(lines)


def csv_table(frame: pandas.DataFrame) -> str:
    """Return a frame as CSV; an index with a name is the first column."""
    is_named = frame.index.name is not None
    names = list(frame.columns)
    if is_named:
        names.insert(0, frame.index.name)
    cells = frame.astype(object).where(frame.notna(), None).itertuples(index=is_named)
    return "".join(map(csv_line, [names, *cells]))


def markdown(text: str) -> str:
    text = one_line(text).strip().replace("&", "&amp;")
    return re.sub(r"[\\`*_{}\[\]<>|~#]", r"\\\g<0>", text)


def _aligned(column: TableColumn) -> list[str]:
    unmarked = "  " if any(cell.mark for cell in column.cells) else ""
    lines = [one_line(column.title)]
    for cell in column.cells:
        sign = f" {_CONSOLE[cell.mark]}" if cell.mark else unmarked
        lines.append(one_line(f"{cell.text} {cell.detail}".rstrip()) + sign)
    width = max(map(len, lines))
    return [line.ljust(width) if column.is_wordy else line.rjust(width) for line in lines]


_SPELT = str.maketrans(
    {
        **{c: "\\" + c for c in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "−": "$-$",
        "≤": r"$\le$",
        DAGGER: r"$^\dagger$",
        "≈": r"$\approx$",
        "▼": r"$\bigtriangledown$",
        "✓": r"$\surd$",
        "✗": r"$\times$",
    }
)


def latex(text: str) -> str:
    return one_line(text).translate(_SPELT)


def _latex_cell(cell: Cell) -> str:
    text = latex(cell.text)
    detail = latex(cell.detail)
    if not math.isnan(cell.value):
        text = text.replace("-", "$-$")
        detail = detail.replace("-", "$-$")
    text = _LATEX.get(cell.mark, "%s") % text
    return text + (rf" {{\scriptsize {detail}}}" if detail else "")
