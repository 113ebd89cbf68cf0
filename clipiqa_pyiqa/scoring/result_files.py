"""Result files on disk: rows are appended as they come, and whatever ends a run, the next one can go on from there.

A row is on disk in full or not at all, except after a kill, whose torn last line is repaired when the run is resumed. A
parquet file cannot grow row by row: its rows are kept as ``NAME.part.jsonl`` beside it until the run ends.
"""

from __future__ import annotations

import contextlib
import csv
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO

from .rows import Csv, Header, Jsonl, Layout, ResultsError, Row, Table, read_parquet, write_parquet

FORMATS = ("table", "csv", "jsonl", "parquet")
SYNC_SECONDS = 5.0  # work that a power cut may cost; a killed process costs none
_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "table"}


def format_of(path: Path) -> str:
    """The format that a file's suffix means."""
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        known = ", ".join(_SUFFIXES)
        raise ResultsError(f"the suffix of {str(path)!r} names no format: use one of {known}, or --format.") from None


def read_results(path: str | os.PathLike[str]) -> tuple[Header, list[Row]]:
    """Read a csv, jsonl or parquet file that ``clipiqa score`` wrote.

    Raises:
        ResultsError: It is missing, damaged, or no such file.
    """
    path = Path(path)
    with _reading(path):
        header, rows = _read(path, format_of(path))
        return header, list(rows)


@dataclass
class Output:
    """Where results go, decided and checked before anything is scored.

    Args:
        path: The file.
        format: One of ``FORMATS``.
        resume: Go on with what an earlier run left at ``path``.
        overwrite: Replace what is at ``path``.

    Raises:
        ResultsError: The path cannot be written, or is taken and neither ``resume`` nor ``overwrite`` is given.
    """

    path: Path
    format: str
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        self.special = self.path.exists() and not self.path.is_file() and not self.path.is_dir()  # a pipe, /dev/null
        if self.special:
            self.journal = self.path
        else:
            self.path = self.path.resolve()  # a link stays a link when the file behind it is replaced
            self.journal = (
                self.path.with_name(self.path.name + ".part.jsonl") if self.format == "parquet" else self.path
            )
        self._check()

    @property
    def rows_format(self) -> str:
        """The format in which rows are appended."""
        return "jsonl" if self.format == "parquet" else self.format

    def earlier(self) -> tuple[Path, str] | None:
        """The file and format that an earlier run left its rows in, if there is one to resume."""
        found = [(self.journal, self.rows_format), (self.path, self.format)]
        return next(((path, format) for path, format in found if path.is_file() and path.stat().st_size), None)

    def _check(self) -> None:
        shown, folder = repr(str(self.path)), self.path.parent
        if self.path.is_dir():
            raise ResultsError(f"results cannot be written to {shown}, which is a folder: name a file.")
        if not folder.is_dir():
            raise ResultsError(f"results cannot be written to {shown}: there is no folder {str(folder)!r}.")
        if not os.access(self.path if self.special else folder, os.W_OK):
            raise ResultsError(f"results cannot be written to {shown}: permission denied.")
        if self.format == "parquet" and self.special:
            raise ResultsError(f"parquet results cannot be written to {shown}, which is no regular file.")
        if self.resume and (self.format == "table" or self.special):
            raise ResultsError("only csv, jsonl and parquet files can be resumed.")
        if not self.resume and not self.overwrite and not self.special and (found := self.earlier()):
            raise ResultsError(f"{str(found[0])!r} exists already: pass --resume to go on with it, or --overwrite.")


class ResultWriter:
    """Appends rows to where they go; a context manager, whose clean end finishes the file.

    Attributes:
        done: Paths whose scores an earlier run left there.
    """

    def __init__(self, layout: Layout, sink: _Sink, done: frozenset[str] = frozenset(), output: Output | None = None):
        self.done = done
        self._layout = layout
        self._sink = sink
        self._output = output

    def write(self, row: Row) -> None:
        """Append one row.

        Raises:
            ResultsError: The disk is full, or the like; the rows written before are kept.
        """
        self._sink.append(self._layout.row(row))

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._sink.append(self._layout.foot())
        finally:
            self._sink.close()
        if kind is None and self._output is not None and self._output.format == "parquet":
            _publish_parquet(self._output)


def write_to(stream: IO[bytes], format: str, header: Header, paths: Collection[str] = ()) -> ResultWriter:
    """A writer to an open binary stream, such as standard output, which it leaves open.

    Args:
        stream: Where to write.
        format: ``'table'``, ``'csv'`` or ``'jsonl'``.
        header: What to say first.
        paths: All the paths to come, for the width of a table.
    """
    layout, sink = _layout(format, header, paths), _Sink(stream, "standard output")
    sink.append(layout.head())
    return ResultWriter(layout, sink)


def open_results(output: Output, header: Header, paths: Collection[str] = ()) -> ResultWriter:
    """A writer to a file.

    Args:
        output: The file.
        header: What it says first; a file that is resumed must say the same.
        paths: All the paths to come. Those among them that failed in an earlier run are tried again.

    Raises:
        ResultsError: The file cannot be written, or was made by another setup.
    """
    layout = _layout(output.rows_format, header, paths)
    kept = _kept_rows(output, header, frozenset(paths)) if output.resume else []
    with _writing(str(output.journal)):
        if not output.special:
            with _replacing(output.journal) as file:
                file.writelines(text.encode() for text in chain([layout.head()], map(layout.row, kept)))
        stream = open(output.journal, "ab", buffering=0)  # noqa: SIM115 - the sink closes it
    sink = (_Sink if output.special else _FileSink)(stream, repr(str(output.journal)))
    if output.special:
        sink.append(layout.head())
    return ResultWriter(layout, sink, frozenset(row.path for row in kept if not row.error), output)


class _Sink:
    """Appends texts to a stream."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self.stream = stream
        self.name = name

    def append(self, text: str) -> None:
        with _writing(self.name):
            rest = memoryview(text.encode())
            while rest:
                rest = rest[self.stream.write(rest) :]
            self.stream.flush()

    def close(self) -> None:
        """Leave the stream to whoever opened it."""


class _FileSink(_Sink):
    """Appends texts to a regular file that it owns: each of them whole or not at all."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        super().__init__(stream, name)
        self._end = os.fstat(stream.fileno()).st_size
        self._synced = time.monotonic()

    def append(self, text: str) -> None:
        try:
            super().append(text)
            if time.monotonic() - self._synced > SYNC_SECONDS:
                self._sync()
        except ResultsError:
            os.ftruncate(self.stream.fileno(), self._end)
            raise
        self._end = os.fstat(self.stream.fileno()).st_size

    def close(self) -> None:
        with self.stream:
            self._sync()

    def _sync(self) -> None:
        with _writing(self.name):
            os.fsync(self.stream.fileno())
        self._synced = time.monotonic()


@contextlib.contextmanager
def _writing(name: str) -> Iterator[None]:
    """Turns an operating system's error into a sentence about what was being written."""
    try:
        yield
    except BrokenPipeError:  # the reader of a pipe has gone: no error of ours
        raise
    except OSError as error:
        raise ResultsError(
            f"cannot write to {name}: {error.strerror or error}; what was written before is kept."
        ) from error


def _layout(format: str, header: Header, paths: Collection[str]) -> Layout:
    if format == "table":
        return Table(header, path_width=min(60, max(map(len, paths), default=0)))
    return Csv(header) if format == "csv" else Jsonl(header)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file beside ``path``, renamed to it at the end, so that ``path`` is never seen half written."""
    beside = path.with_name(path.name + ".tmp")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _kept_rows(output: Output, header: Header, paths: Collection[str]) -> list[Row]:
    """An earlier run's rows, without the failures that this run tries again."""
    earlier = output.earlier()
    if earlier is None:
        return []
    path, format = earlier
    with _reading(path):
        before, rows = _read(path, format)
        _check_same(path, before, header)
        return [row for row in rows if not row.error or row.path not in paths]


def _check_same(path: Path, before: Header, now: Header) -> None:
    old, new = ({**header.provenance, "columns": ", ".join(header.columns)} for header in (before, now))
    differences = [
        f"{key} was {old.get(key, 'not given')} and is now {new.get(key, 'not given')}"
        for key in old | new
        if old.get(key) != new.get(key)
    ]
    if differences:
        raise ResultsError(
            f"{str(path)!r} cannot be resumed, as its scores were made another way: {'; '.join(differences)}; "
            "use the earlier options, or another --out."
        )


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns any way in which a result file can be unreadable into a sentence."""
    try:
        yield
    except ResultsError:
        raise
    except OSError as error:
        raise ResultsError(f"cannot read {str(path)!r}: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ResultsError(
            f"{str(path)!r} is not a result file of clipiqa score, or it is damaged ({error})."
        ) from error


def _read(path: Path, format: str) -> tuple[Header, Iterator[Row]]:
    if format == "parquet":
        return read_parquet(path)
    return (Csv if format == "csv" else Jsonl).read(_whole_lines(path))


def _whole_lines(path: Path) -> Iterator[str]:
    """The lines of a file, without a last one that a kill has torn."""
    with open(path, "rb") as file:  # in bytes, since it may be torn within a character
        yield from (line.decode() for line in file if line.endswith(b"\n"))


def _publish_parquet(output: Output) -> None:
    """Turn the finished rows beside a parquet file into that file."""
    header, rows = Jsonl.read(_whole_lines(output.journal))
    with _writing(str(output.path)):
        with _replacing(output.path) as file:
            write_parquet(file, header, rows)
        output.journal.unlink()
