"""Rows as they are printed: CSV, JSON lines, or a table for people."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from ...text import one_line
from ..files.csv_files import csv_line
from .formats import line_of
from .header import Header
from .record_text import described
from .row import Row


@contextlib.contextmanager
def printing(stream: IO[bytes], format: str, header: Header) -> Iterator[Callable[[Row], None]]:
    """Yield a function that prints a row, as CSV, JSON lines, or in a table for people, which ends with mean scores."""
    if format == "table":
        table = _TableOfRows(stream, header)
        table.write_header()
        yield table.write
        table.write_means()
        return
    constants = header.constants
    if format == "csv":
        _put(stream, csv_line(header.names))
    yield lambda row: _put(stream, line_of(format, row.as_dict(header.score_names) | constants))


def _put(stream: IO[bytes], text: str) -> None:
    """Write all of a text, which a stream may take in parts."""
    rest = memoryview(text.encode())
    while rest:
        rest = rest[stream.write(rest) :]
    stream.flush()


class _TableOfRows:
    """A table for people, printed row by row."""

    def __init__(self, stream: IO[bytes], header: Header) -> None:
        self.stream = stream
        self.header = header
        self._scored = list[tuple[float | None, ...]]()

    def write_header(self) -> None:
        """Print what all scores share, then the columns' names."""
        texts = ", ".join(
            f"{key} {value}" for key, value in described(self.header.columns, self.header.reading).items()
        )
        _put(self.stream, f"# {one_line(texts)}\n")
        self._write_line(self.header.score_names, "path")

    def write(self, row: Row) -> None:
        """Print a row; behind the path stand the kind of a failure, or the image's size, and other notes."""
        if row.scores is not None:
            self._scored.append(row.scores)
        size = f"{row.width}×{row.height}" if row.width else ""  # only metrics that read the image know it
        notes = ", ".join(filter(None, [row.kind or size, row.converted, row.flag]))
        path = f"{row.path} ({notes})" if notes else row.path
        self._write_line(row.scores or [None] * len(self.header.score_names), path)

    def write_means(self) -> None:
        """Print the mean scores, if several images have scores."""
        if len(self._scored) < 2:
            return
        columns = [[score for score in scores if score is not None] for scores in zip(*self._scored, strict=True)]
        means = [sum(scores) / len(scores) if scores else None for scores in columns]
        self._write_line(means, f"mean of {len(self._scored)}")

    def _write_line(self, cells: Sequence[Any], path: str) -> None:
        texts = map(_text_of, cells)
        aligned = (f"{text:>{max(len(name), 6)}}" for text, name in zip(texts, self.header.score_names, strict=True))
        _put(self.stream, one_line("  ".join([*aligned, path])) + "\n")


def _text_of(cell: Any) -> Any:
    if cell is None:
        return "-"
    return f"{cell:.4f}" if isinstance(cell, float) else cell
