"""Formats of result files: their suffixes, and a row as a line."""

import json
from pathlib import Path

from ..files.csv_files import csv_line
from ..files.journal import Cells
from .results_error import ResultsError

SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def format_of(path: Path) -> str:
    """Return the format that a file's suffix names. Raises ``ResultsError`` for another suffix."""
    format = SUFFIXES.get(path.suffix.lower())
    if format is None:
        known = ", ".join(SUFFIXES)
        raise ResultsError(
            f"the end of {str(path)!r} is no known suffix: use one of {known}, or pass `format`.",
            options=("format",),
        )
    return format


def line_of(format: str, cells: Cells) -> str:
    """Return a row, column -> value, as a line of a csv or JSON lines file."""
    if format == "csv":
        return csv_line(cells.values())
    return json.dumps(cells, ensure_ascii=False, default=str) + "\n"
