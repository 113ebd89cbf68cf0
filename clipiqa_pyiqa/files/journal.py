"""Journals: files that grow by one checked record after another, and lose none that was written, whatever ends a run.

    journal = Journal.create(path, [head, *kept])       # whole or not at all, in place of what was there
    with journal: journal.append(record, ...)           # a record is on the disk in full or not at all
    records = list(read_journal(path, damage := []))    # damaged lines are left out and named in `damage`

A line is ``["CRC32", {…}]``, which is JSON. The last one may be torn by a kill: it is left out and is no damage.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import OutputError
from .writing import replacing

SYNC_SECONDS = 5.0  # work that a power cut may cost; a killed process costs none


class Journal:
    """A journal that is open for appending; a context manager that closes it.

    Args:
        path: A file of whole lines, such as ``create`` makes.

    Raises:
        OutputError: The disk is full, or the like; what was written before is kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._writing():
            number = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))  # made by create() alone
            self._file = open(number, "ab", buffering=0)  # noqa: SIM115 - closed by close()
        self._end = os.fstat(self._file.fileno()).st_size
        self._synced = time.monotonic()

    @classmethod
    def create(cls, path: Path, records: Iterable[Mapping[str, Any]] = ()) -> Journal:
        """Begin a journal with some records, in place of what is at ``path``."""
        with replacing(path) as partial, open(partial, "wb") as file:
            file.writelines(map(_line, records))
        return cls(path)

    def append(self, *records: Mapping[str, Any]) -> None:
        """Add records, all of them or, if that fails, none."""
        rest = memoryview(b"".join(map(_line, records)))
        end = self._end + len(rest)
        try:
            with self._writing():
                while rest:
                    rest = rest[self._file.write(rest) :]
                self._end = end
                if time.monotonic() - self._synced > SYNC_SECONDS:
                    self._sync()
        except BaseException:  # also Ctrl-C between two parts of a record
            os.ftruncate(self._file.fileno(), self._end)
            raise

    def check(self) -> None:
        """Raise if the file was deleted or replaced while it was written to."""
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.path)):
                return
        raise OutputError(f"{str(self.path)!r} was deleted or replaced during the run: its results are lost.")

    def close(self) -> None:
        """Have everything on the disk, and close the file."""
        with self._file, self._writing():
            self._sync()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"{error.strerror or error}; what was written before is kept"
            raise OutputError(f"cannot write to {str(self.path)!r}: {reason}.") from error


def read_journal(path: Path, damage: list[str]) -> Iterator[dict[str, Any]]:
    """The records of a journal in their order.

    Args:
        path: The file.
        damage: Receives the name of each line that is left out because its checksum is wrong, such as ``'line 7'``.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # torn by a kill
            record = _record(line)
            if record is None:
                damage.append(f"line {number}")
            else:
                yield record


def is_journal(path: Path) -> bool:
    """Whether a file begins as journals do."""
    with open(path, "rb") as file:
        return file.read(2) == b'["'


def _line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return b'["%08x", %s]\n' % (zlib.crc32(text), text)


def _record(line: bytes) -> dict[str, Any] | None:
    text = line[13:-2]
    if line[:2] + line[10:13] + line[-2:] != b'["", ]\n' or line[2:10] != b"%08x" % zlib.crc32(text):
        return None
    return json.loads(text)
