"""Frames as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..files.csv_files import csv_line

if TYPE_CHECKING:
    import pandas


def csv_table(frame: pandas.DataFrame) -> str:
    """Return a frame as CSV; an index with a name is the first column."""
    is_named = frame.index.name is not None
    names = list(frame.columns)
    if is_named:
        names.insert(0, frame.index.name)
    cells = frame.astype(object).where(frame.notna(), None).itertuples(index=is_named)
    return "".join(map(csv_line, [names, *cells]))
