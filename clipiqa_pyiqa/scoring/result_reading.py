"""Reading what ``clipiqa score`` wrote: result files, and the journals of runs that were broken off."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..arguments import checked
from ..files.journal import is_journal, read_journal
from .rows import Csv, Header, Jsonl, ResultsError, Row, read_parquet

FORMATS = ("table", "csv", "jsonl", "parquet")
_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "table"}


def format_of(path: Path) -> str:
    """The format that a file's suffix means."""
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        known = ", ".join(_SUFFIXES)
        raise ResultsError(f"the suffix of {str(path)!r} names no format: use one of {known}, or --format.") from None


@checked
def read_results(path: str | os.PathLike[str]) -> tuple[Header, list[Row]]:
    """Read a csv, jsonl or parquet file that ``clipiqa score`` wrote, or what is left of an interrupted run.

    Of a copy without its ``NAME.provenance.json``, the header's provenance is empty.

    Raises:
        ResultsError: It is missing, damaged, or no such file.
    """
    path = Path(path)
    with reading(path):
        header, rows, damage = read_any(path, format_of(path))
    if damage:
        again = "`clipiqa score --resume` scores what is missing again"
        raise ResultsError(f"{str(path)!r} is damaged ({', '.join(damage)}): {again}.")
    return header, rows


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns any way in which a result file can be unreadable into a sentence."""
    try:
        yield
    except ResultsError:
        raise
    except OSError as error:
        raise ResultsError(f"cannot read {str(path)!r}: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise ResultsError(
            f"{str(path)!r} is not a result file of clipiqa score, or it is damaged ({error})."
        ) from error


def read_any(path: Path, format: str) -> tuple[Header, list[Row], list[str]]:
    """The header and rows of a file, and the names of what is damaged in it, if it is a journal."""
    if format == "parquet":
        return *read_parquet(path), []
    if is_journal(path):
        damage: list[str] = []
        records = read_journal(path, damage)
        head = next(records, {})["head"]
        header = Header(tuple(head["columns"]), head["provenance"])
        return header, [Row.from_dict(record, header.columns) for record in records], damage
    content = path.read_bytes()
    header, rows = (Csv if format == "csv" else Jsonl).read(line.decode() for line in io.BytesIO(content))
    if (said := provenance_beside(path)) is not None:
        if said["sha256"] != hashlib.sha256(content).hexdigest():
            raise ValueError(f"it is not as it was written: its SHA-256 is not that in {path.name}.provenance.json")
        header = Header(tuple(said["columns"]), said["provenance"])
    return header, list(rows), []


def provenance_beside(path: Path) -> Mapping[str, Any] | None:
    """Return what the file beside a result file says of it; None if there is no such file."""
    try:
        text = path.with_name(f"{path.name}.provenance.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return json.loads(text)
