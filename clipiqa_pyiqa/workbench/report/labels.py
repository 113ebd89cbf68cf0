"""Tables as a user wants to see them: with labels in place of names, and only some of their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from .table import MINUS, Table, TableColumn

Relabelling = Callable[[str], str]
"""A function of a name that returns it as it is to be shown."""
_COLUMNS_OF_NAMES = ("metric", "method")
"""Columns, beside each table's first one, whose cells are names."""


def relabelling(labels: Mapping[str, str]) -> Relabelling:
    """Return the function that gives the label of a name; a name without a label stays as it is."""
    return lambda name: labels.get(name, name)


def names_in(tables: Sequence[Table]) -> list[str]:
    """Return the names in tables: of the first table's rows, of columns, of their groups and of sections."""
    names = {cell.text: None for table in tables[:1] for cell in table.columns[0].cells}
    for table in tables:
        names |= {name: None for column in table.columns for name in (column.name, column.group, table.section)}
    return [name for name in names if name]


def table_as_shown(table: Table, labels: Mapping[str, str], show: Iterable[str]) -> Table:
    """Return a table with labels in place of names, and with the columns to show.

    Args:
        show: Names of columns, or of their groups, in the order in which they are shown; a table without any of them
            keeps its columns.
    """
    relabelled = relabelling(labels)
    columns = []
    for column in _columns_to_show(table, show):
        has_names = column is table.columns[0] or column.name in _COLUMNS_OF_NAMES
        columns.append(_relabelled_column(column, labels, has_names))
    return replace(
        table,
        title=_relabelled_title(table, relabelled),
        columns=columns,
        reasons={relabelled(name): reason for name, reason in table.reasons.items()},
        section=relabelled(table.section),
    )


def _columns_to_show(table: Table, show: Iterable[str]) -> Sequence[TableColumn]:
    """Return the first column, then those to show of each group; all columns if there is none to show."""
    first, *others = table.columns
    names = list(show)
    chosen = list[TableColumn]()
    for group in dict.fromkeys(column.group for column in others):
        columns = [column for column in others if column.group == group]
        for name in names:
            chosen += [column for column in columns if name in (column.name, group) and column not in chosen]
    return [first, *chosen] if chosen else table.columns


def _relabelled_column(column: TableColumn, labels: Mapping[str, str], has_names: bool) -> TableColumn:
    """Return a column with the labels of its name and its group, and of its cells if these are names."""
    relabelled = relabelling(labels)
    cells = column.cells
    if has_names:
        cells = [replace(cell, text=_relabelled_cell(cell.text, labels)) for cell in cells]
    return replace(column, name=relabelled(column.name), group=relabelled(column.group), cells=cells)


def _relabelled_cell(text: str, labels: Mapping[str, str]) -> str:
    """Return the label of a cell's name, or of both names if there is a minus between two."""
    if text in labels:
        return labels[text]
    return MINUS.join(map(relabelling(labels), text.split(MINUS)))


def _relabelled_title(table: Table, relabelled: Relabelling) -> str:
    """Return a title as it is to be shown; some begin with the section's name."""
    if not table.title.startswith(table.section):
        return table.title
    return relabelled(table.section) + table.title.removeprefix(table.section)
