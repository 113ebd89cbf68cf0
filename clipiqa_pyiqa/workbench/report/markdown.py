"""Tables and lists in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...text import one_line
from .table import Cell, Mark, Table

_MARKDOWN: dict[Mark, str] = {
    "": "{}",
    "best": "**{}**",
    "second": "<ins>{}</ins>",
    "gain": "**{}**",
    "loss": "{} ▼",
    "clear": "**{}**",
}


def markdown_table(table: Table) -> str:
    """Return a table below its title, with the lines before and after it."""
    lines = [f"## {markdown(table.title)}", ""] if table.title else []
    for sentence in filter(None, [*table.before, table.note_on_marks()]):
        lines += [markdown(sentence), ""]
    lines.append("| " + " | ".join(map(markdown, table.titles)) + " |")
    lines.append("|" + "|".join("---" if column.is_wordy else "---:" for column in table.columns) + "|")
    for row in table.rows:
        lines.append(f"| {' | '.join(map(_markdown_cell, row))} |")
    if table.after:
        lines += ["", markdown_list(table.after)]
    return "\n".join(lines)


def _markdown_cell(cell: Cell) -> str:
    text = _MARKDOWN[cell.mark].format(markdown(cell.shown))
    return f"{text} {markdown(cell.detail)}".rstrip()


def markdown_list(lines: Iterable[str]) -> str:
    """Return lines as a list."""
    return "\n".join(f"- {markdown(line)}" for line in lines)


def markdown(text: str) -> str:
    """Return a text whose marks of emphasis, code, links and tables are escaped."""
    text = one_line(text).strip().replace("&", "&amp;")
    return re.sub(r"[\\`*_{}\[\]<>|~#]", r"\\\g<0>", text)
