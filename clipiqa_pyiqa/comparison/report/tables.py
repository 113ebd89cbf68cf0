"""A comparison for the console, and as CSV, Markdown and LaTeX: how ``summary`` is spelt in each."""

from __future__ import annotations

import math
import unicodedata

from ...scoring.rows import csv_line
from ..results import Comparison
from .summary import Cell, Table, build_tables, key_lines, legend, plain, provenance_lines, skipped_lines


def to_text(comparison: Comparison) -> str:
    """The tables for a console: aligned columns, a star behind the highest correlation."""
    blocks = ["\n".join(f"# {plain(line)}" for line in [*legend(comparison), "* highest of its column"])]
    for table in build_tables(comparison):
        columns = [_column(*column) for column in zip(table.columns, _wordy(table), *table.rows, strict=True)]
        lines = ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]
        lines.insert(1, "  ".join("-" * _width(column[0]) for column in columns))
        said = [plain(table.title), *(f"  {plain(line)}" for line in table.before)]
        blocks.append("\n".join([*said, *lines, *(f"  {plain(line)}" for line in table.after)]))
    return "\n\n".join(blocks) + "\n"


def to_csv(comparison: Comparison) -> str:
    """``Comparison.frame`` in full precision, after ``# key: value`` lines; ``pandas.read_csv(file, comment='#')``."""
    lines = [*legend(comparison), *key_lines(comparison.settings), *provenance_lines(comparison)]
    for data in comparison.data_sets:
        lines += [f"{data.name}: {line}" for line in ([data.note] * bool(data.note) + skipped_lines(data.skipped))]
    frame = comparison.frame()
    body = [frame.columns, *frame.itertuples(index=False)]
    return "".join(f"# {plain(line)}\n" for line in lines) + "".join(
        csv_line("" if isinstance(value, float) and math.isnan(value) else value for value in row) for row in body
    )


def to_markdown(comparison: Comparison) -> str:
    """The tables as GitHub's Markdown, the highest correlations bold, and which metric each was."""
    lines = ["# Metrics compared", "", *(f"- {_markdown(line)}" for line in legend(comparison))]
    for table in build_tables(comparison):
        lines += ["", f"## {_markdown(table.title)}", ""]
        lines += [line for text in table.before for line in (_markdown(text), "")]
        lines.append("| " + " | ".join(_markdown(head) for head in table.columns) + " |")
        lines.append("|" + "|".join("---" if words else "---:" for words in _wordy(table)) + "|")
        for row in table.rows:
            cells = (f"**{_markdown(c.text)}** {_markdown(c.detail)}" if c.best else _markdown(c.full) for c in row)
            lines.append("| " + " | ".join(cell.rstrip() for cell in cells) + " |")
        if table.after:
            lines += ["", *(" " * 2 * text.startswith(" ") + f"- {_markdown(text)}" for text in table.after)]
    lines += ["", "## Which metrics exactly", "", *(f"- {_markdown(line)}" for line in provenance_lines(comparison))]
    if comparison.settings:
        lines += ["", "## Settings", "", *(f"- {_markdown(line)}" for line in key_lines(comparison.settings))]
    return "\n".join(lines) + "\n"


def to_latex(comparison: Comparison) -> str:
    """The tables as LaTeX that needs only ``booktabs`` and ``graphicx``, the highest correlations bold.

    A table takes the width of the page, over both columns where there are two, and shrinks to it where it is wider.
    What captions have no room for stands in comments: first the settings and which metric each was, then below each
    table why cells are empty and what was left out.
    """
    comments = [*key_lines(comparison.settings), *provenance_lines(comparison)]
    lines = [r"% \usepackage{booktabs,graphicx}", *(f"% {plain(line)}" for line in comments)]
    for table in build_tables(comparison):
        sign, intervals = legend(comparison)[:2]
        said = [sign] * any("SROCC" in text for text in (table.title, *table.columns))
        said += [intervals] * any(cell.detail for row in table.rows for cell in row)
        caption = " ".join(_sentence(line) for line in (table.title, *table.before, *said))
        lines += ["", r"\begin{table*}[t]", r"\centering\small", rf"\caption{{{_latex(caption)}}}"]
        lines.append(r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%")
        lines.append(rf"\begin{{tabular}}{{{''.join('l' if words else 'r' for words in _wordy(table))}}}")
        lines += [r"\toprule", " & ".join(_latex(head) for head in table.columns) + r" \\", r"\midrule"]
        lines += [" & ".join(map(_latex_cell, row)) + r" \\" for row in table.rows]
        lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table*}", *(f"% {plain(line)}" for line in table.after)]
    return "\n".join(lines) + "\n"


def _wordy(table: Table) -> list[bool]:
    """Of each column, whether it holds words only, and so stands at the left."""
    return [all(math.isnan(cell.value) for cell in column) for column in zip(*table.rows, strict=True)]


def _width(text: str) -> int:
    """Columns of a console that a text takes."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(bool(unicodedata.combining(c)) for c in text)


def _column(head: str, words: bool, *cells: Cell) -> list[str]:
    """Head and cells, all of one width: words at the left, numbers at the right with room for the star."""
    star = any(cell.best for cell in cells)
    texts = [plain(head), *(plain(cell.full) + ("  ", " *")[cell.best] * star for cell in cells)]
    width = max(map(_width, texts))
    blanks = (" " * (width - _width(text)) for text in texts)
    return [text + blank if words else blank + text for text, blank in zip(texts, blanks, strict=True)]


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", ":", "!", "?")) else text + "."


def _markdown(text: str) -> str:
    escaped = "".join("\\" + c if c in r"\`*_{}[]<>|~#" else c for c in plain(text).strip())
    return escaped.replace("&", "&amp;")


_LATEX = {
    **{c: "\\" + c for c in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "×": r"$\times$", "²": "$^2$", "…": r"\dots{}"},
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in plain(text))


def _latex_cell(cell: Cell) -> str:
    text, detail = _latex(cell.text), _latex(cell.detail)
    if not math.isnan(cell.value):
        text, detail = text.replace("-", "$-$"), detail.replace("-", "$-$")
    text = rf"\textbf{{{text}}}" if cell.best else text
    return text + (rf" {{\scriptsize {detail}}}" if detail else "")
