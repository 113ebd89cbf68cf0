"""Rows printed to a stream while they are scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

from ..files.names import csv_line, one_line
from .columns import ResultsError, described
from .formats import Head, line_of
from .rows import Row


class Printer:
    """Prints rows to a binary stream: CSV, JSON lines, or a table for people that ends with the mean scores."""

    def __init__(self, stream: IO[bytes], format: str, head: Head) -> None:
        self._stream, self._format, self._columns, self._constants = stream, format, head.scores, head.constants
        self._scored = list[tuple[float | None, ...]]()  # of a table's rows
        if format == "table":
            texts = ", ".join(f"{key} {value}" for key, value in described(head.columns, head.reading).items())
            self._print(f"# {one_line(texts)}\n" + self._line(self._columns, "path"))
        elif format == "csv":
            self._print(csv_line(head.names))

    def write(self, row: Row) -> None:
        if self._format != "table":
            self._print(line_of(self._format, row.as_dict(self._columns) | self._constants))
            return
        if row.scores is not None:
            self._scored.append(row.scores)
        size = f"{row.width}×{row.height}" if row.width else ""  # only metrics that read the image know it
        notes = ", ".join(filter(None, [row.kind or size, row.converted, row.flag]))
        path = f"{row.path} ({notes})" if notes else row.path
        self._print(self._line(row.scores or [None] * len(self._columns), path))

    def _line(self, cells: Sequence[Any], path: str) -> str:
        texts = ["-" if cell is None else f"{cell:.4f}" if isinstance(cell, float) else cell for cell in cells]
        aligned = [f"{text:>{max(len(name), 6)}}" for text, name in zip(texts, self._columns, strict=True)]
        return one_line("  ".join([*aligned, path])) + "\n"

    def __enter__(self) -> Printer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and len(self._scored) > 1:
            columns = [[score for score in scores if score is not None] for scores in zip(*self._scored, strict=True)]
            means = [sum(scores) / len(scores) if scores else None for scores in columns]
            self._print(self._line(means, f"mean of {len(self._scored)}"))

    def _print(self, text: str) -> None:
        try:
            rest = memoryview(text.encode())
            while rest:
                rest = rest[self._stream.write(rest) :]
            self._stream.flush()
        except BrokenPipeError:  # the program that reads the pipe has ended, which is not an error
            raise
        except OSError as error:
            raise ResultsError(f"cannot write to standard output: {error.strerror or error}.") from error
