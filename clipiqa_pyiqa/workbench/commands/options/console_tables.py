"""Tables that a command prints, as text with aligned columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


def frame_as_text(frame: pandas.DataFrame) -> str:
    """Return a frame as a table; the first row has the columns' names."""
    from ...report.console import console_table
    from ...report.table import frame_table

    return console_table(frame_table(frame))


def rows_as_text(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table; the first row has the columns' names."""
    from ...report.console import console_table
    from ...report.table import Table, word_column

    return console_table(Table("", [word_column(name, cells) for name, *cells in zip(*rows, strict=True)]))
