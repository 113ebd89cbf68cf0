"""Journals: append-only files of rows; a killed run loses no row that it has written.

A line is ``["CRC32", {…}]``; a kill may cut the last line.
"""

from __future__ import annotations

import json
import os
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from .writing import as_output_error, replacing


class Journal:
    """A journal that is open for appending. Raises ``OutputError`` if the disk is full."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with as_output_error(path):  # a deleted journal is an error: a new file would lack the earlier rows
            self._file = open(path, "rb+", buffering=0)  # noqa: SIM115 - closed by close()

    @classmethod
    def create(cls, path: Path, rows: Iterable[Mapping[str, Any]] = ()) -> Journal:
        """Return a new journal with these rows, in place of the file at ``path``."""
        with replacing(path) as partial, open(partial, "wb") as file:
            file.writelines(map(_line, rows))
        return cls(path)

    def append(self, row: Mapping[str, Any]) -> None:
        rest, end = memoryview(_line(row)), self._file.seek(0, os.SEEK_END)
        try:
            with as_output_error(self.path):
                while rest:
                    rest = rest[self._file.write(rest) :]
        except BaseException:  # also if Ctrl-C interrupts the writing of a row
            self._file.truncate(end)
            raise

    def close(self) -> None:
        """Write all rows to the disk, and close the file."""
        with self._file, as_output_error(self.path):
            os.fsync(self._file.fileno())


def read_journal(path: Path, damage: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a journal; ``damage`` receives lines with wrong checksums, such as ``'line 7'``."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # a kill has left this line incomplete
            text = line[13:-2]
            if line == _checked(text):
                yield json.loads(text)
            else:
                damage.append(f"line {number}")


def is_journal(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b'["'


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return each field that differs between two records, with both values."""

    def flat(record: Mapping[str, Any]) -> dict[str, Any]:
        parts = ((name, value if isinstance(value, Mapping) else {"": value}) for name, value in record.items())
        return {f"{name} {inner}".rstrip(): value for name, part in parts for inner, value in part.items()}

    was, is_now = flat(before), flat(now)
    names = {**was, **is_now}
    return [(name, was.get(name), is_now.get(name)) for name in names if was.get(name) != is_now.get(name)]


Stored = TypeVar("Stored", bound=Any)


class JournalFolder(Generic[Stored]):
    """A folder of journals, whose rows have a group and a name; each process writes its own journal.

    Args:
        folder: The folder; None keeps rows in memory only.
        make: Dataclass of the rows; a row without ``error`` replaces a row with one.
    """

    def __init__(self, folder: Path | None, make: Callable[..., Stored]) -> None:
        self.folder, self._make = folder, make
        self.entries: dict[str, dict[str, Stored]] = {}
        self.damaged: dict[str, None] = {}
        self._journal: Journal | None = None

    def get(self, group: str, name: str) -> Stored | None:
        return self.entries.get(group, {}).get(name)

    def is_done(self, group: str, name: str) -> bool:
        entry = self.get(group, name)
        return entry is not None and not entry.error

    def add(self, group: str, name: str, entry: Stored) -> None:
        """Add a row, and write it to the disk. Raises ``OutputError`` if the disk is full."""
        self._keep(group, name, entry)
        if self.folder is not None:
            if self._journal is None:
                with as_output_error(self.folder):
                    self.folder.mkdir(parents=True, exist_ok=True)
                self._journal = Journal.create(self.folder / f"{uuid.uuid4().hex}.jsonl")
            self._journal.append({"group": group, "name": name, **vars(entry)})

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal = None

    def load(self, wanted: Callable[[str], bool] = lambda group: True) -> None:
        """Read the rows of all processes in the wanted groups."""
        for file in self._files():
            damage: list[str] = []
            with as_output_error(file):
                for row in read_journal(file, damage):
                    if wanted(group := row.pop("group")):
                        self._keep(group, row.pop("name"), self._make(**row))
            self.damaged |= dict.fromkeys(f"{line} of {str(file)!r}" for line in damage)

    def clear(self) -> None:
        for file in self._files():
            file.unlink()

    def _keep(self, group: str, name: str, entry: Stored) -> None:
        known = self.entries.setdefault(group, {})
        if not entry.error or name not in known or known[name].error:
            known[name] = entry

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl")) if self.folder else []


def _line(row: Mapping[str, Any]) -> bytes:
    return _checked(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _checked(text: bytes) -> bytes:
    return b'["%08x", %s]\n' % (zlib.crc32(text), text)
