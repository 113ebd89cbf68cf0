"""Tables in LaTeX."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ...text import one_line
from .table import DAGGER, Cell, Mark, Table, TableColumn

_LATEX: dict[Mark, str] = {
    "": "%s",
    "best": r"\textbf{%s}",
    "second": r"\underline{%s}",
    "gain": r"\textbf{%s}",
    "loss": r"\textcolor{orange!70!black}{%s\,{\scriptsize$\bigtriangledown$}}",
    "clear": r"\textbf{%s}",
}
PACKAGES = r"\usepackage{booktabs,graphicx,xcolor}"


def latex_document(tables: Iterable[Table], comments: Iterable[str], caption: str, key: str) -> str:
    """Return tables in LaTeX, which need ``PACKAGES``.

    Args:
        comments: Sentences that LaTeX skips.
        caption: LaTeX code of the first table's caption; the others have their titles.
        key: ``\\label`` of the first table; the others have it with their number.
    """
    parts = ["\n".join([f"% {PACKAGES}", *(f"% {one_line(line)}" for line in comments)])]
    for number, table in enumerate(tables, 1):
        if number == 1:
            parts.append(latex_table(table, caption, key))
        else:
            parts.append(latex_table(table, "", f"{key}-{number}" if key else ""))
    return "\n\n".join(parts) + "\n"


_MOST_IN_A_COLUMN = 4
"""Columns of a table that fits in one of a page's two columns."""


def latex_table(table: Table, caption: str, key: str) -> str:
    """Return a table without the columns that have no number, with how to read it below.

    Args:
        caption: LaTeX code; empty for the table's title.
        key: Its label; empty for none.
    """
    columns = [column for column in table.columns if not _is_empty(column)]
    is_narrow = len(columns) <= _MOST_IN_A_COLUMN
    environment = "table" if is_narrow else "table*"
    width = r"\columnwidth" if is_narrow else r"\textwidth"
    label = rf"\label{{{key}}}" if key else ""
    caption = one_line(caption) or latex(table.title and f"{table.title}.")
    lines = [rf"\begin{{{environment}}}[t]", r"\centering\small"]
    if caption or label:
        lines.append(rf"\caption{{{caption}}}{label}\medskip")
    lines.append(rf"\resizebox{{\ifdim\width>{width}{width}\else\width\fi}}{{!}}{{%")
    lines.append(_tabular(columns, has_groups=bool(table.groups)) + r"}\par\medskip")
    notes = [*table.before, table.note_on_marks(), *table.notes, _note_on_empty(table.columns)]
    lines += [rf"\raggedright\footnotesize {latex(note)}\par" for note in notes if note]
    lines.append(rf"\end{{{environment}}}")
    lines += [f"% {one_line(line)}" for line in table.after]
    return "\n".join(lines)


def _is_empty(column: TableColumn) -> bool:
    return {cell.text for cell in column.cells} == {"–"}


def _note_on_empty(columns: Iterable[TableColumn]) -> str:
    """Return which columns are left out, as they have no number; empty if none is."""
    titles = [column.title for column in columns if _is_empty(column)]
    return f"Without numbers: {', '.join(titles)}." if titles else ""


def _tabular(columns: Sequence[TableColumn], has_groups: bool) -> str:
    """Return columns as a ``tabular`` environment, with their groups over them if there are any."""
    import pandas

    # numbered first: two columns may have the same heading
    frame = pandas.DataFrame({number: list(map(_latex_cell, column.cells)) for number, column in enumerate(columns)})
    headings = [(latex(column.group), latex(column.heading)) for column in columns]
    frame.columns = pandas.MultiIndex.from_tuples(headings)
    if not has_groups:
        frame = frame.droplevel(0, axis="columns")
    sides = "".join("l" if column.is_wordy else "r" for column in columns)
    text = frame.to_latex(index=False, escape=False, column_format=sides, multicolumn_format="c")
    return text.rstrip()


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
    """Return a text in which no character has a meaning for LaTeX."""
    return one_line(text).translate(_SPELT)


def _latex_cell(cell: Cell) -> str:
    text = latex(cell.shown)
    detail = latex(cell.detail)
    if not math.isnan(cell.value):
        text = text.replace("-", "$-$")
        detail = detail.replace("-", "$-$")
    text = _LATEX[cell.mark] % text
    return text + (rf" {{\scriptsize {detail}}}" if detail else "")
