"""Formats of result files, and the names of the files beside a result."""

import json
from pathlib import Path

from ..files.csv_files import csv_line
from ..files.journal import Cells
from .results_error import ResultsError

SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
JOURNAL = ".part.jsonl"  # added to the name of the result
RECORD = "_clipiqa.json"
"""Name of the header in a folder of Parquet files; Arrow and Spark take names with an underscore first for no data."""


def format_of(path: Path) -> str:
    """Return the format that a file's suffix names. Raises ``ResultsError`` for another suffix."""
    if format := SUFFIXES.get(path.suffix.lower()):
        return format
    raise ResultsError(
        f"the suffix of {str(path)!r} names no known format: use one of {', '.join(SUFFIXES)}, or pass `{{format}}`.",
        options=("format",),
    )


def journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}{JOURNAL}")


def provenance_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.provenance.json")


def unfinished(path: Path) -> str:
    """Return what an error says of a file whose run was interrupted; its option is ``resume``."""
    return f"{str(path)!r} is not finished, because its run was interrupted: pass `{{resume}}` to continue"


def line_of(format: str, cells: Cells) -> str:
    return csv_line(cells.values()) if format == "csv" else json.dumps(cells, ensure_ascii=False, default=str) + "\n"
