"""Result files of ``clipiqa score``; until the run ends, rows are in the journal ``NAME.part.jsonl``."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..datasets.csv_files import read_rows
from ..errors import CLIPIQAError, first_of
from ..errors.arguments import checked
from ..files.hashes import hash_file
from ..files.journal import Journal, is_journal, read_journal
from ..files.names import csv_line, one_line, printable
from ..files.writing import check_output, locked, replacing, write_text
from ..images.image import reason
from ..prompts.provenance import as_texts
from .rows import (
    CONSTANT_COLUMNS,
    FIELDS,
    PARQUET_KEY,
    Header,
    ResultsError,
    Row,
    header_changes,
    line_of,
    write_tables,
)

if TYPE_CHECKING:
    import pyarrow

    from ..images.image import Image

FORMATS = ("csv", "jsonl", "parquet")
logger = logging.getLogger("clipiqa_pyiqa")
GROUP = 50_000  # rows in memory at a time
SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def format_of(path: Path) -> str:
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise ResultsError(f"the suffix of {str(path)!r} names no known format: use one of {known}, or pass `format`.")
    return SUFFIXES[path.suffix.lower()]


@dataclass
class Output:
    """The result file. Raises ``OutputError`` at once if it cannot be written, or exists."""

    path: Path
    format: str
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        self.path = check_output(self.path, overwrite=True)
        self.journal = journal_of(self.path)
        self.provenance = self.path.with_name(f"{self.path.name}.provenance.json")
        if self.format not in FORMATS:
            raise ResultsError(f"format must be one of {', '.join(FORMATS)} for a file; got {self.format}.")
        for beside in (self.journal, self.provenance):
            check_output(beside, overwrite=True)
        self.check_free()

    def check_free(self) -> None:
        found = None if self.resume or self.overwrite else self.earlier()
        if found == self.journal:
            raise ResultsError(f"{unfinished(self.path)}, or `overwrite` to start again.")
        if found is not None:
            raise ResultsError(f"{str(found)!r} exists already: pass `resume` to continue its run, or `overwrite`.")

    def earlier(self) -> Path | None:
        return next((path for path in (self.journal, self.path) if path.is_file() and path.stat().st_size), None)


def journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part.jsonl")


def unfinished(path: Path) -> str:
    return f"{str(path)!r} is not finished, because its run was interrupted: pass `resume` to continue"


@dataclass
class EarlierRun:
    """The rows of an earlier run, and what a run that resumes does with them.

    Attributes:
        stamps: Image -> its stamp; None for an image without all scores.
        interrupted: Whether the earlier run did not end.
        kept, changed, new: Numbers of kept images, of changed or unstamped ones, and of new ones.
    """

    stamps: dict[str, str | None] = field(default_factory=dict)
    interrupted: bool = False
    kept: int = 0
    changed: int = 0
    new: int = 0

    def __bool__(self) -> bool:
        return bool(self.stamps)

    @property
    def sentence(self) -> str:
        return f"{self.kept:,} done before, {self.changed:,} changed since, {self.new:,} new"

    def knows(self, image: Image) -> bool | None:
        """Return whether an image's row can be kept; None if the earlier run has not come to the image."""
        name = printable(image.name)
        if name not in self.stamps:
            self.new += 1
            return None if self.interrupted else False
        if (stamp := self.stamps[name]) is None:
            return False
        is_same = bool(stamp) and image.stamp() == stamp
        self.kept, self.changed = self.kept + is_same, self.changed + (not is_same)
        return is_same


class ResultWriter:
    """Writer of rows to a binary stream: CSV, JSON lines, or a table for people that ends with the mean scores."""

    def __init__(self, stream: IO[bytes], format: str, header: Header) -> None:
        self._stream, self._format, self._columns, self._constants = stream, format, header.columns, header.constants
        self._scored = list[tuple[float | None, ...]]()  # of a table's rows
        if format == "table":
            provenance = ", ".join(f"{key} {value}" for key, value in as_texts(header.provenance).items())
            self._append(f"# {one_line(provenance)}\n" + self._line(header.columns, "path"))
        elif format == "csv":
            self._append(csv_line(header.names))

    def write(self, row: Row) -> None:
        if self._format != "table":
            self._append(line_of(self._format, row.as_dict(self._columns) | self._constants))
            return
        if row.scores is not None:
            self._scored.append(row.scores)
        notes = [row.kind or f"{row.width}×{row.height}", row.converted, row.flag]
        path = f"{row.path} ({', '.join(filter(None, notes))})"
        self._append(self._line(row.scores or [None] * len(self._columns), path))

    def _line(self, cells: Sequence[Any], path: str) -> str:
        texts = ["-" if cell is None else f"{cell:.4f}" if isinstance(cell, float) else cell for cell in cells]
        aligned = [f"{text:>{max(len(name), 6)}}" for text, name in zip(texts, self._columns, strict=True)]
        return one_line("  ".join([*aligned, path])) + "\n"

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and len(self._scored) > 1:
            columns = [[score for score in scores if score is not None] for scores in zip(*self._scored, strict=True)]
            means = [sum(scores) / len(scores) if scores else None for scores in columns]
            self._append(self._line(means, f"mean of {len(self._scored)}"))

    def _append(self, text: str) -> None:
        try:
            rest = memoryview(text.encode())
            while rest:
                rest = rest[self._stream.write(rest) :]
            self._stream.flush()
        except BrokenPipeError:  # the program that reads the pipe has ended, which is not an error
            raise
        except OSError as error:
            raise ResultsError(f"cannot write to standard output: {error.strerror or error}.") from error


class FileWriter:
    """Writer of rows to the journal of a file, which begins with the rows of an earlier run."""

    def __init__(self, output: Output, header: Header, rows: list[Row], lock: contextlib.ExitStack) -> None:
        stamps = {row.path: None if row.kind else row.stamp for row in rows}
        self.earlier = EarlierRun(stamps, output.journal.exists())
        self._output, self._header, self._lock, self._again = output, header, lock, set[str]()
        lines = (row.as_dict(header.columns) for row in rows)
        self._journal = Journal.create(output.journal, itertools.chain([{"head": header.record}], lines))

    def write(self, row: Row) -> None:
        self._journal.append(row.as_dict(self._header.columns))
        if row.path in self.earlier.stamps:
            self._again.add(row.path)

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._lock:
            self._journal.close()
            if kind is None:
                _publish(self._output, self._header, self._again)


def open_results(output: Output, header: Header, can_resume: bool = True) -> FileWriter:
    """Return a writer to a file; the file is locked until the context ends. Raises ``OutputError``.

    A resumed run keeps rows with scores until they are written again, and scores failed images again.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(output.path))
        output.check_free()  # check again, as another run may have written results in the meantime
        if output.resume and not can_resume:
            logger.warning("all images are scored again, since a metric is a function, whose changes cannot be seen.")
        rows = _earlier_rows(output, header) if output.resume and can_resume else []
        return FileWriter(output, header, rows, stack.pop_all())


def _publish(output: Output, header: Header, stale: set[str]) -> None:
    with replacing(output.path) as partial:
        write_tables(partial, output.format, header.schema, _tables(output.journal, header, stale))
        digest = hash_file(partial)
    if output.format != "parquet":
        record = {"file": output.path.name, "sha256": digest, **header.record}
        write_text(output.provenance, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    output.journal.unlink()


def _tables(journal: Path, header: Header, stale: set[str]) -> Iterator[pyarrow.Table]:
    """Yield a journal's rows, some at a time, without the first row of a stale image. Raises ``ResultsError``."""
    import pyarrow

    damage, schema, constants = list[str](), header.schema, header.constants

    def is_current(row: dict[str, Any]) -> bool:
        if row["path"] not in stale:
            return True
        stale.discard(row["path"])
        return False

    with reading(journal, "jsonl"):
        records = read_journal(journal, damage)
        if "head" not in next(records, {}):
            damage.append("line 1")
        current = filter(is_current, records)
        while group := [row | constants for row in itertools.islice(current, GROUP)]:
            yield pyarrow.Table.from_pylist(group, schema)
    if damage:
        raise ResultsError(f"{str(journal)!r} was damaged during the run ({damage[0]}): pass `resume`.")


def _earlier_rows(output: Output, header: Header) -> list[Row]:
    path = output.earlier()
    if path is None:
        return []
    before, rows, damage = _read(path, "jsonl" if path == output.journal else output.format)
    if not before.provenance:
        raise ResultsError(
            f"{str(path)!r} cannot be resumed, because {output.provenance.name!r} with its provenance is missing: "
            "pass `overwrite`, or name another file."
        )
    if changes := header_changes(before, header):
        raise ResultsError(
            f"{str(path)!r} cannot be resumed, as its scores were made in another way: {changes}; use the earlier "
            "options, or name another file."
        )
    if damage:
        logger.warning("%s: damaged rows are left out and scored again: %s.", path, first_of(damage))
    return list({row.path: row for row in rows}.values())  # the last row of an image is its newest


@checked
def read_results(path: str | os.PathLike[str]) -> tuple[Header, list[Row]]:
    """Return the header and the rows of a result file or its journal.

    Args:
        path: A csv, jsonl or parquet file. Without ``NAME.provenance.json``, the provenance is empty.

    Raises:
        CLIPIQAError: The file is missing, damaged, or not a result file.
    """
    header, rows, damage = _read(Path(path), format_of(Path(path)))
    if damage:
        raise ResultsError(f"{str(path)!r} is damaged ({', '.join(damage)}): resume its run to score these rows again.")
    return header, rows


def _read(path: Path, format: str) -> tuple[Header, list[Row], list[str]]:
    with reading(path, format):
        head, rows, damage = read_rows_of(path, format)
        names = list(rows[0]) if rows else []
        columns = tuple(head["columns"] if head else names[1 : -len(FIELDS) - len(CONSTANT_COLUMNS)])
        header = Header(columns, head["provenance"] if head else {})
        if not head and names != header.names:
            raise ValueError("it is no file of clipiqa score, because its columns differ")
        return header, [Row.from_dict(row, columns) for row in rows], damage


def read_rows_of(path: Path, format: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]], list[str]]:
    """Return a file's columns and provenance (or None), its rows, and a journal's damaged lines."""
    damage: list[str] = []
    if format == "parquet":
        from pyarrow import parquet

        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            count, size = file.metadata.num_rows, path.stat().st_size
            if count > size:  # a small file with many equal rows would take all memory
                raise ValueError(f"it has {count:,} rows in {size:,} bytes, which cannot hold that many names")
            metadata = (file.schema_arrow.metadata or {}).get(PARQUET_KEY)
            return json.loads(metadata) if metadata else None, file.read().to_pylist(), damage
    if is_journal(path):
        records = list(read_journal(path, damage))
        return records[0]["head"], records[1:], damage
    try:
        head = json.loads(path.with_name(f"{path.name}.provenance.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        head = None
    if head is not None and head["sha256"] != hash_file(path):
        raise ValueError(f"it has changed: its SHA-256 differs from the one in {path.name}.provenance.json")
    if format == "csv":
        return head, [row for _, row in read_rows(path)[0]], damage
    with open(path, encoding="utf-8") as file:
        return head, [json.loads(line) for line in file if line.strip()], damage


@contextlib.contextmanager
def reading(path: Path, format: str) -> Iterator[None]:
    """Raise ``ResultsError`` if the file cannot be read or does not hold what this context expects."""
    try:
        yield
    except CLIPIQAError:
        raise
    except (OSError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, FileNotFoundError) and journal_of(path).exists():
            raise ResultsError(f"{unfinished(path)}.") from error
        raise ResultsError(f"{str(path)!r} cannot be read as {format}: {reason(error)[:200]}.") from error
