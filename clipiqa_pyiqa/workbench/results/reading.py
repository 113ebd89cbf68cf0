"""Reading of result files and journals: their header, and their rows as column -> value."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import CLIPIQAError
from ...files import hash_file, open_file
from ...text import reason_of
from ..files.csv_files import csv_rows
from ..files.journal import Cells, is_journal, read_journal
from .checks import check_header, check_row
from .companion_files import journal_of, provenance_of
from .header import Header
from .results_error import ResultsError, unfinished

_WAY_OUT = "name another file, or delete a damaged result to make it again"


def read_header(path: Path, format: str) -> Header | None:
    """Return what a file or a journal says of its rows; None if nothing is known.

    Raises ``ResultsError``, also if a file has changed since its header was written.
    """
    with checked_reading(path, format):
        record = _record_in(path, format)
        return None if record is None else Header.of(record)


def _record_in(path: Path, format: str) -> Any:
    """Return the record of a header: in the file or journal, or in a file beside it; None if there is none."""
    if format == "parquet":
        from .parquet_file import opened_parquet, parquet_record  # pyarrow is slow to import

        with opened_parquet(path) as file:
            return parquet_record(file)
    if is_journal(path):
        record = next(read_journal(path, []), {}).get("head")
        if record is None:
            raise ValueError("its first line is damaged")
        return record
    return _record_beside(path)


def _record_beside(path: Path) -> Any:
    """Return the record in the file beside a csv or JSON lines file; None if there is none."""
    provenance = provenance_of(path)
    way_out = f"it cannot be resumed: to rank or compare it as it is, delete {provenance.name}"
    try:
        record = json.loads(provenance.read_text(encoding="utf-8"))
        if record is not None:
            check_header(record)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        why = f"the file that tells how {str(path)!r} was made is damaged: {reason_of(error)[:200]}"
        raise ResultsError(f"{why}; {way_out}.") from error
    if record is not None and record.get("sha256") != hash_file(path):
        raise ResultsError(f"{str(path)!r} has changed since it was written; {way_out}.")
    return record


def check_format(path: Path, format: str) -> None:
    """Raise ``ResultsError`` if a file of results is of another format."""
    with checked_reading(path, format), path.open("rb") as file:
        start = file.read(10).lstrip()
    for known, mark in {"parquet": b"PAR1", "jsonl": b"{", "csv": b"path,"}.items():
        if start.startswith(mark) and known != format:
            raise ResultsError(
                f"{str(path)!r} holds {known}, but {format} is asked for: pass `format` {known}, or name another file.",
                options=("format",),
            )


def read_scale_attribute(path: Path) -> str:
    """Return the scales in a Parquet file that pandas copied from a file of ours; empty if it has none."""
    from .parquet_file import opened_parquet, scale_in_attributes

    with checked_reading(path, "parquet"), opened_parquet(path) as file:
        return scale_in_attributes(file)


def read_cells(
    path: Path,
    format: str,
    damage: list[str],
    names: Sequence[str] | None = None,
    scores: Sequence[str] | None = None,
) -> Iterator[Cells]:
    """Yield the rows of a file or a journal as column -> value; values of csv files are texts.

    Args:
        damage: Receives a journal's damaged lines.
        names: The columns that are needed; others may come too.
        scores: The columns of scores of a file of ours, whose rows are checked.
    """
    with checked_reading(path, format):
        if format != "parquet" and is_journal(path):
            yield from _journal_rows(path, damage)
            return
        for cells in _file_rows(path, format, names):
            if scores is not None:
                check_row(cells, scores)
            yield cells


def _file_rows(path: Path, format: str, names: Sequence[str] | None) -> Iterator[Cells]:
    """Yield the rows of a file that is no journal."""
    if format == "parquet":
        yield from _parquet_rows(path, names)
    elif format == "csv":
        for _, cells in csv_rows(path):
            yield cells
    else:
        yield from _json_rows(path)


def _parquet_rows(path: Path, names: Sequence[str] | None) -> Iterator[Cells]:
    """Yield the rows of a Parquet file, only with those columns of ``names`` that it has; None: with all columns."""
    from .parquet_file import ROWS_OF_GROUP, opened_parquet

    with opened_parquet(path) as file:
        columns = None if names is None else [name for name in names if name in file.schema_arrow.names]
        for batch in file.iter_batches(ROWS_OF_GROUP, columns=columns):
            yield from batch.to_pylist()


def _json_rows(path: Path) -> Iterator[Cells]:
    """Yield the rows of a JSON lines file. Raises ``ValueError`` for a line that holds no object."""
    with open_file(path, "r", encoding="utf-8") as lines:
        for line in filter(str.strip, lines):
            cells = json.loads(line)
            if not isinstance(cells, dict):
                raise ValueError(f"a line is no JSON object: {line.strip()!r:.80}")
            yield cells


def _journal_rows(path: Path, damage: list[str]) -> Iterator[Cells]:
    """Yield the rows of a journal; ``damage`` receives those that are not rows of results."""
    lines = read_journal(path, damage)
    record = next(lines, {}).get("head")
    scores = record.get("columns", ()) if isinstance(record, Mapping) else ()
    for cells in lines:
        try:
            check_row(cells, scores)
        except ValueError as error:
            damage.append(str(error))
        else:
            yield cells


@contextlib.contextmanager
def checked_reading(path: Path | str, format: str) -> Iterator[None]:
    """Raise ``ResultsError`` if the file cannot be read or does not hold what this context expects."""
    try:
        yield
    except CLIPIQAError:
        raise
    except RecursionError as error:
        raise ResultsError(f"{str(path)!r} cannot be read as {format}: it is nested too deeply; {_WAY_OUT}.") from error
    except (OSError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, csv.Error) as error:
        if isinstance(error, FileNotFoundError) and journal_of(Path(path)).exists():
            raise ResultsError(f"{unfinished(Path(path))}.", options=("resume",)) from error
        if isinstance(error, FileNotFoundError):
            raise ResultsError(f"{str(path)!r} does not exist.") from error
        lacks = "it lacks " if isinstance(error, KeyError) else ""
        why = f"{str(path)!r} cannot be read as {format}: {lacks}{reason_of(error)[:200]}"
        raise ResultsError(f"{why}; {_WAY_OUT}.") from error
