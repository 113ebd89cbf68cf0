"""Tables, and how they are spelt on a console, in Markdown and in LaTeX; HTML is in ``templates/``."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..files.names import one_line


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What it says; words, never 'nan', where there is no number.
        detail: Said smaller behind it: an interval.
        value: What to sort by; NaN for words.
        mark: Why it stands out, such as 'highest of its column', bold or with a star; empty if it does not.
        second: Why it comes second, underlined or with a ring; empty if it does not.
    """

    text: str
    detail: str = ""
    value: float = math.nan
    mark: str = ""
    second: str = ""

    @property
    def full(self) -> str:
        """Text and detail."""
        return f"{self.text} {self.detail}".rstrip()


@dataclass(frozen=True)
class Table:
    """A table, and what to know about it.

    Attributes:
        title: What it is about.
        columns: Heads; the first column names the row.
        rows: One cell per column each.
        before: Lines to read before it: what was evaluated.
        reasons: Name of a row -> why its cells hold no number, and what else to know.
        left_out: Lines on what is not in it.
        reading: How to read its numbers, for where it stands alone.
        groups: What stands over the columns behind the first, in order, and how many columns it stands over.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    before: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    groups: tuple[tuple[str, int], ...] = ()

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads of the columns, each with what stands over it."""
        if not self.groups:
            return self.columns
        over = ["", *(title for title, count in self.groups for _ in range(count))]
        return tuple(f"{title} {head}".strip() for title, head in zip(over, self.columns, strict=True))

    @property
    def after(self) -> tuple[str, ...]:
        """Lines to read after it."""
        return (*(f"{name}: {reason}" for name, reason in self.reasons.items()), *self.left_out)

    @property
    def wordy(self) -> list[bool]:
        """Of each column, whether it holds words only, and so stands at the left."""
        return [all(math.isnan(cell.value) for cell in column) for column in zip(*self.rows, strict=True)]


def number(value: float, digits: int = 3) -> str:
    """A value with so many digits; never '-0.000'."""
    return f"{round(value, digits) + 0.0:.{digits}f}"  # adding zero drops the sign of a negative one


def signed(value: float) -> str:
    """A difference with its sign and three digits."""
    return f"{round(value, 3) + 0.0:+.3f}"


def console_table(table: Table) -> str:
    """Title, aligned columns with a star behind what stands out, and the lines around them; no line end."""
    columns = [_column(*column) for column in zip(table.heads, table.wordy, *table.rows, strict=True)]
    lines = ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]
    lines.insert(1, "  ".join("-" * _width(column[0]) for column in columns))
    before, after = ([f"  {one_line(line)}" for line in given] for given in (table.before, table.after))
    return "\n".join([one_line(table.title), *before, *lines, *after])


def markdown_table(table: Table) -> str:
    """A section in GitHub's Markdown, bold what stands out; no line end."""
    lines = [f"## {markdown(table.title)}", ""]
    lines += [line for text in table.before for line in (markdown(text), "")]
    lines.append("| " + " | ".join(map(markdown, table.heads)) + " |")
    lines.append("|" + "|".join("---" if words else "---:" for words in table.wordy) + "|")
    for row in table.rows:
        lines.append("| " + " | ".join(map(_markdown_cell, row)) + " |")
    if table.after:
        lines += ["", *(" " * 2 * text.startswith(" ") + f"- {markdown(text)}" for text in table.after)]
    return "\n".join(lines)


def latex_document(tables: Iterable[Table], comments: Iterable[str]) -> str:
    """Tables one after another, below the packages that they need and, as comments, what they have no room for."""
    head = "\n".join([r"% \usepackage{booktabs,graphicx}", *(f"% {one_line(line)}" for line in comments)])
    return "\n\n".join([head, *map(latex_table, tables)]) + "\n"


def latex_table(table: Table) -> str:
    """A table of LaTeX that needs only ``booktabs`` and ``graphicx``, bold what stands out; no line end.

    It takes the width of the page, over both columns where there are two, and shrinks to it where it is wider. What
    the caption has no room for stands in comments below.
    """
    caption = " ".join(_sentence(line) for line in (table.title, *table.before, *table.reading))
    lines = [r"\begin{table*}[t]", r"\centering\small", rf"\caption{{{_latex(caption)}}}"]
    lines.append(r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%")
    lines.append(rf"\begin{{tabular}}{{{''.join('l' if words else 'r' for words in table.wordy)}}}")
    lines.append(r"\toprule")
    if table.groups:
        starts = [2 + sum(count for _, count in table.groups[:place]) for place in range(len(table.groups))]
        spans = [rf"\multicolumn{{{count}}}{{c}}{{{_latex(title)}}}" for title, count in table.groups]
        rules = [rf"\cmidrule(lr){{{s}-{s + n - 1}}}" for s, (_, n) in zip(starts, table.groups, strict=True)]
        lines += [" & ".join(["", *spans]) + r" \\", " ".join(rules)]
    lines += [" & ".join(map(_latex, table.columns)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(_latex_cell, row)) + r" \\" for row in table.rows]
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table*}", *(f"% {one_line(line)}" for line in table.after)]
    return "\n".join(lines)


def markdown(text: str) -> str:
    """Text on one line of Markdown, none of it markup."""
    escaped = "".join("\\" + c if c in r"\`*_{}[]<>|~#" else c for c in one_line(text).strip())
    return escaped.replace("&", "&amp;")


def _markdown_cell(cell: Cell) -> str:
    text = markdown(cell.text)
    text = f"**{text}**" if cell.mark else f"<ins>{text}</ins>" if cell.second else text
    return f"{text} {markdown(cell.detail)}".rstrip()


def _width(text: str) -> int:
    """Columns of a console that a text takes."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(bool(unicodedata.combining(c)) for c in text)


def _column(head: str, words: bool, *cells: Cell) -> list[str]:
    """Head and cells, all of one width: words at the left, numbers at the right with room for the star."""
    star = any(cell.mark or cell.second for cell in cells)
    signs = (" *" if cell.mark else " °" if cell.second else "  " for cell in cells)
    texts = [one_line(head), *(one_line(cell.full) + sign * star for cell, sign in zip(cells, signs, strict=True))]
    width = max(map(_width, texts))
    blanks = (" " * (width - _width(text)) for text in texts)
    return [text + blank if words else blank + text for text, blank in zip(texts, blanks, strict=True)]


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", ":", "!", "?")) else text + "."


_LATEX = {
    **{c: "\\" + c for c in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "−": "$-$"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "×": r"$\times$", "²": "$^2$", "…": r"\dots{}"},
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in one_line(text))


def _latex_cell(cell: Cell) -> str:
    text, detail = _latex(cell.text), _latex(cell.detail)
    if not math.isnan(cell.value):
        text, detail = text.replace("-", "$-$"), detail.replace("-", "$-$")
    text = rf"\textbf{{{text}}}" if cell.mark else rf"\underline{{{text}}}" if cell.second else text
    return text + (rf" {{\scriptsize {detail}}}" if detail else "")
