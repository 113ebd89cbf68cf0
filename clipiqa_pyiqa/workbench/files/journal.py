"""Journals: append-only files of rows; a killed run loses no row that it has written."""

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ...files import as_output_error, open_file, replacing

Cells = dict[str, Any]
"""Column -> value, of a row."""

_START = b'["'
_JSON = slice(len('["01234567", '), -len("]\n"))  # of a line: the row, after its checksum


class Journal:
    """A new file of rows, in place of the file at ``path``, which is open for appending.

    A line is ``["CRC32", {…}]``, and a kill may cut the last line. Raises ``OutputError`` if the disk is full.
    """

    def __init__(self, path: Path, rows: Iterable[Cells] = ()) -> None:
        self.path = path
        with replacing(path) as partial, open(partial, "wb") as file:
            file.writelines(_line(row) for row in rows)
        with as_output_error(path):  # a deleted journal is an error: a new file would lack the earlier rows
            self._file = open(path, "rb+", buffering=0)  # noqa: SIM115 - closed by close()

    def append(self, row: Cells) -> None:
        """Write a row at the end of the file, whole or not at all."""
        unwritten = memoryview(_line(row))
        end = self._file.seek(0, os.SEEK_END)
        try:
            with as_output_error(self.path):
                while unwritten:
                    written = self._file.write(unwritten)
                    unwritten = unwritten[written:]
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
            row = _row_in(line)
            if row is None:
                damage.append(f"line {number}")
            else:
                yield row


def _row_in(line: bytes) -> Cells | None:
    """Return the row of a whole line; None if its checksum is wrong, or if it is no row."""
    row_as_json = line[_JSON]
    if line != _with_checksum(row_as_json):
        return None
    try:
        row = json.loads(row_as_json.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def is_journal(path: Path) -> bool:
    """Return whether a file begins as a journal does."""
    with open_file(path) as file:
        return bool(file.read(len(_START)) == _START)


_as_json = json.JSONEncoder(ensure_ascii=False, default=str).encode  # dates and the like become texts


def _line(row: Cells) -> bytes:
    return _with_checksum(_as_json(row).encode("utf-8", "surrogatepass"))


def _with_checksum(row_as_json: bytes) -> bytes:
    return b'["%08x", %s]\n' % (zlib.crc32(row_as_json), row_as_json)
