"""Tables in LaTeX."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ...files.printable import one_line
from .table import DAGGER, Cell, Mark, Table

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
        parts.append(latex_table(table, caption, key and (key if number == 1 else f"{key}-{number}")))
        caption = ""
    return "\n\n".join(parts) + "\n"


_MOST_IN_A_COLUMN = 4
"""Columns of a table that fits in one of a page's two columns."""


def latex_table(table: Table, caption: str, key: str) -> str:
    """Return a table without the columns that have no number, with how to read it below.

    Args:
        caption: LaTeX code; empty for the table's title.
        key: Its label; empty for none.
    """
    import pandas

    full = [column for column in table.columns if {cell.text for cell in column.cells} != {"–"}]
    # numbered first: two columns may have the same heading
    frame = pandas.DataFrame({number: list(map(_latex_cell, column.cells)) for number, column in enumerate(full)})
    frame.columns = pandas.MultiIndex.from_tuples([(latex(column.group), latex(column.heading)) for column in full])
    if not table.groups:
        frame = frame.droplevel(0, axis="columns")
    sides = "".join("l" if column.is_wordy else "r" for column in full)
    body = frame.to_latex(index=False, escape=False, column_format=sides, multicolumn_format="c")
    is_narrow = len(full) <= _MOST_IN_A_COLUMN
    kind = "table" if is_narrow else "table*"
    width = r"\columnwidth" if is_narrow else r"\textwidth"
    lines = [rf"\begin{{{kind}}}[t]", r"\centering\small"]
    label = rf"\label{{{key}}}" if key else ""
    caption = one_line(caption) or latex(table.title and f"{table.title}.")
    lines += [rf"\caption{{{caption}}}{label}\medskip"] if caption or label else []
    lines += [rf"\resizebox{{\ifdim\width>{width}{width}\else\width\fi}}{{!}}{{%", body.rstrip() + r"}\par\medskip"]
    empty = ", ".join(column.title for column in table.columns if column not in full)
    notes = [*table.before, table.note_on_marks(), *table.notes, empty and f"Without numbers: {empty}."]
    lines += [rf"\raggedright\footnotesize {latex(note)}\par" for note in notes if note]
    lines += [rf"\end{{{kind}}}", *(f"% {one_line(line)}" for line in table.after)]
    return "\n".join(lines)


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
