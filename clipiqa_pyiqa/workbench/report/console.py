"""Tables for a console."""

from __future__ import annotations

from ...text import one_line
from .table import Mark, Table, TableColumn

_CONSOLE: dict[Mark, str] = {"best": "*", "second": "°", "gain": "*", "loss": "▼", "clear": "*"}


def console_table(table: Table) -> str:
    """Return a table with aligned columns, between the lines before and after it."""
    if table.on_console:
        return f"{one_line(table.title)}\n  {one_line(table.on_console)}"
    columns = list(map(_aligned, table.columns))
    lines = ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]
    before = [f"  {one_line(line)}" for line in (*table.before, table.note_on_marks(_CONSOLE)) if line]
    after = [f"  {one_line(line)}" for line in table.after]
    if table.title:
        lines.insert(1, "  ".join("-" * len(column[0]) for column in columns))
        before.insert(0, one_line(table.title))
    return "\n".join([*before, *lines, *after])


def _aligned(column: TableColumn) -> list[str]:
    """Return the lines of a column, all of one width."""
    unmarked = "  " if any(cell.mark for cell in column.cells) else ""
    lines = [one_line(column.title)]
    for cell in column.cells:
        sign = f" {_CONSOLE[cell.mark]}" if cell.mark else unmarked
        lines.append(one_line(f"{cell.shown} {cell.detail}".rstrip()) + sign)
    width = max(map(len, lines))
    return [line.ljust(width) if column.is_wordy else line.rjust(width) for line in lines]
