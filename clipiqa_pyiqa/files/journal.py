"""Journals: append-only files of rows; a killed run loses no row that it has written."""

import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .reading import open_file
from .writing import as_output_error, replacing

Cells = dict[str, Any]
"""Column -> value, of a row."""


class Journal:
    """A new file of rows, in place of the file at ``path``, which is open for appending.

    A line is ``["CRC32", {…}]``, and a kill may cut the last line. Raises ``OutputError`` if the disk is full.
    """

    def __init__(self, path: Path, rows: Iterable[Cells] = ()) -> None:
        self.path = path
        with replacing(path) as partial, open(partial, "wb") as file:
            file.writelines(map(_line, rows))
        with as_output_error(path):  # a deleted journal is an error: a new file would lack the earlier rows
            self._file = open(path, "rb+", buffering=0)  # noqa: SIM115 - closed by close()

    def append(self, row: Cells) -> None:
        rest, end = memoryview(_line(row)), self._file.seek(0, os.SEEK_END)
        try:
            with as_output_error(self.path):
                while rest:
                    rest = rest[self._file.write(rest) :]
        except BaseException:  # also if Ctrl-C interrupts the writing of a row
            self._file.truncate(end)
            raise

    def sync(self) -> None:
        """Write all rows to the disk."""
        with as_output_error(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write all rows to the disk, and close the file."""
        with self._file:
            self.sync()


def read_journal(path: Path, damage: list[str]) -> Iterator[Cells]:
    """Yield the rows of a journal; ``damage`` receives lines that hold no row as it was written, as ``'line 7'``."""
    with open_file(path) as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # a kill has left this line incomplete
            text = line[13:-2]
            row = None
            if line == _checked(text):
                with contextlib.suppress(ValueError, RecursionError):
                    row = json.loads(text.decode("utf-8", "surrogatepass"))
            if isinstance(row, dict):
                yield row
            else:
                damage.append(f"line {number}")


def is_journal(path: Path) -> bool:
    with open_file(path) as file:
        return file.read(2) == b'["'


_as_json = json.JSONEncoder(ensure_ascii=False, default=str).encode  # dates and the like become texts


def _line(row: Cells) -> bytes:
    return _checked(_as_json(row).encode("utf-8", "surrogatepass"))


def _checked(text: bytes) -> bytes:
    return b'["%08x", %s]\n' % (zlib.crc32(text), text)
