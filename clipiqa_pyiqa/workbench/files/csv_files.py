"""CSV files: their lines and rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ...errors import CLIPIQAError
from ...files import open_file
from ...text import printable, reason_of, twice_in

CsvRow = dict[str, str]
"""Column -> cell."""
_NEEDS_QUOTES = re.compile(r'[",#\r\n]|^\s|\s$')


def csv_line(values: Iterable[Any]) -> str:
    """Return a line of a CSV file; None is an empty cell."""
    return printable(",".join(_cell(value) for value in values)) + "\n"


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    if not _NEEDS_QUOTES.search(text):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def csv_rows(path: Path) -> Iterator[tuple[int, CsvRow]]:
    """Yield the number and the cells of each line below the header.

    Raises ``ValueError`` or ``csv.Error`` for anything but a table.
    """
    with open_file(path, "r", newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, strict=True)  # else a file that ends inside quotes would be read
        header = next(lines, [])
        repeated = twice_in(header)
        if repeated:
            raise ValueError(f"it has two columns called {repeated!r}: rename one")
        other_separator = re.search("[;\t]", header[0]) if len(header) == 1 else None
        if other_separator:
            raise ValueError(f"its columns are separated by {other_separator[0]!r}: separate them by commas")
        for cells in lines:
            if not any(cells):
                continue  # spreadsheets write rows of empty cells
            if len(cells) != len(header):
                raise ValueError(
                    f"line {lines.line_num}: expected {len(header)} columns, separated by commas ({', '.join(header)})"
                )
            yield lines.line_num, dict(zip(header, cells, strict=True))


def read_rows(path: Path) -> tuple[list[tuple[int, CsvRow]], list[str]]:
    """Return the numbered rows of a CSV file, and its column names."""
    try:
        rows = list(csv_rows(path))
    except (OSError, ValueError, csv.Error) as error:
        raise CLIPIQAError(f"{str(path)!r} cannot be read as a CSV file in UTF-8: {reason_of(error)}.") from error
    if not rows:
        raise CLIPIQAError(f"{str(path)!r} has no rows: expected a header line, then one line per image.")
    _, first_row = rows[0]
    return rows, list(first_row)
