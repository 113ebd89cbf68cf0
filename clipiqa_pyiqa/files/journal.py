"""Journals: append-only files of results under way, with a checksum per row; a killed run loses no row it has written.

    journal = Journal.create(path, [head, *kept])       # whole or not at all, replaces what was there
    with journal: journal.append(row, ...)              # a row is in the file in full or not at all
    rows = list(read_journal(path, damage := []))       # damaged lines are left out and named in `damage`

    store = JournalFolder(folder, Entry)                # rows of several processes, each with a file of its own
    store.load(); store.add("maniqa", "a.png", Entry(...)); store.close()

A line is ``["CRC32", {…}]``, which is JSON. A kill may tear the last line: it is left out and does not count as damage.
A head, ``{"head": {…}}``, says what the rows depend on; ``changes`` compares two heads field by field. Other runs are
kept out by the lock in ``locking``.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ..errors import OutputError
from .writing import replacing

SYNC_SECONDS = 5.0  # work that a power cut may cost; a killed process costs none


class Journal:
    """A journal that is open for appending; a context manager that closes it.

    Args:
        path: A file of whole lines, as ``create`` makes it.

    Raises:
        OutputError: The file cannot be written, for example because the disk is full; rows written before are kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _explained(path):
            self._file = open(path, "ab", buffering=0, opener=_existing)  # noqa: SIM115 - closed by close()
        self._end = os.fstat(self._file.fileno()).st_size
        self._synced = time.monotonic()

    @classmethod
    def create(cls, path: Path, rows: Iterable[Mapping[str, Any]] = ()) -> Journal:
        """Begin a journal with some rows; it replaces the file at ``path``."""
        with replacing(path) as partial, open(partial, "wb") as file:
            file.writelines(map(_line, rows))
        return cls(path)

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Add rows: all of them or, on an error, none."""
        rest = memoryview(b"".join(map(_line, rows)))
        end = self._end + len(rest)
        try:
            with _explained(self.path):
                while rest:
                    rest = rest[self._file.write(rest) :]
                self._end = end
                if time.monotonic() - self._synced > SYNC_SECONDS:
                    self._sync()
        except BaseException:  # also Ctrl-C between two parts of a row
            os.ftruncate(self._file.fileno(), self._end)
            raise

    def close(self) -> None:
        """Have everything on the disk, and close the file."""
        with self._file, _explained(self.path):
            self._sync()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


def read_journal(path: Path, damage: list[str]) -> Iterator[dict[str, Any]]:
    """Return the rows of a journal in order.

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
            text = line[13:-2]
            if line == _checked(text):
                yield json.loads(text)
            else:
                damage.append(f"line {number}")


def is_journal(path: Path) -> bool:
    """Return whether a file begins as journals do."""
    with open(path, "rb") as file:
        return file.read(2) == b'["'


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return each field of which two heads differ, with both values; a field in a field is called ``'outer inner'``."""
    found: list[tuple[str, Any, Any]] = []
    for name in {**before, **now}:
        was, is_now = before.get(name), now.get(name)
        if isinstance(was, Mapping) or isinstance(is_now, Mapping):
            found += [(f"{name} {inner}", a, b) for inner, a, b in changes(was or {}, is_now or {})]
        elif was != is_now:
            found.append((name, was, is_now))
    return found


class Entry(Protocol):
    """A row of a :class:`JournalFolder`: a dataclass. One with an ``error`` is tried again by a run that resumes."""

    @property
    def error(self) -> str: ...


E = TypeVar("E", bound=Entry)


class JournalFolder(Generic[E]):
    """Rows by group and name, in memory and in a folder of journals: each process that adds rows writes its own file.

    A row without ``error`` wins over one with.

    Args:
        folder: Where the rows are kept; None for memory alone.
        make: Makes an entry of its fields: a dataclass.
        process: What the names of this process's files begin with.

    Attributes:
        entries: Group -> name -> entry.
        damaged: What ``load`` left out because its checksum is wrong, such as ``"line 7 of 'rank0-1.jsonl'"``.
    """

    def __init__(self, folder: Path | None, make: Callable[..., E], process: str = "rank0") -> None:
        self.folder, self._make, self._process = folder, make, process
        self.entries: dict[str, dict[str, E]] = {}
        self.damaged: dict[str, None] = {}
        self._journal: Journal | None = None

    def get(self, group: str, name: str) -> E | None:
        """Return the entry of that group and name, if there is one."""
        return self.entries.get(group, {}).get(name)

    def is_done(self, group: str, name: str) -> bool:
        """Return whether there is an entry without ``error``."""
        entry = self.get(group, name)
        return entry is not None and not entry.error

    def add(self, group: str, name: str, entry: E) -> None:
        """Keep an entry, on disk at once.

        Raises:
            OutputError: The disk is full, or the like; what was written before is kept.
        """
        self._note(group, name, entry)
        if self.folder is not None:
            if self._journal is None:
                with _explained(self.folder):
                    self.folder.mkdir(parents=True, exist_ok=True)
                self._journal = Journal.create(self.folder / f"{self._process}-{uuid.uuid4().hex}.jsonl")
            self._journal.append({"group": group, "name": name, **vars(entry)})

    def close(self) -> None:
        """Close the file that this process writes; adding more begins another."""
        if self._journal is not None:
            self._journal.close()
        self._journal = None

    def load(self, wanted: Callable[[str], bool] = lambda group: True) -> None:
        """Read what all processes have written of the groups that are wanted."""
        for file in self._files():
            damage: list[str] = []
            with _explained(file, "read"):
                for row in read_journal(file, damage):
                    if wanted(group := row.pop("group")):
                        self._note(group, row.pop("name"), self._make(**row))
            self.damaged |= dict.fromkeys(f"{line} of {str(file)!r}" for line in damage)

    def clear(self) -> None:
        """Delete all files."""
        for file in self._files():
            file.unlink()

    def _note(self, group: str, name: str, entry: E) -> None:
        known = self.entries.setdefault(group, {})
        if not entry.error or name not in known or known[name].error:
            known[name] = entry

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl")) if self.folder else []


def _existing(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_CREAT)  # a journal that was deleted is not begun anew without its head


def _line(row: Mapping[str, Any]) -> bytes:
    return _checked(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _checked(text: bytes) -> bytes:
    return b'["%08x", %s]\n' % (zlib.crc32(text), text)


@contextlib.contextmanager
def _explained(path: Path, doing: str = "write to") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error}; what was written before is kept"
        raise OutputError(f"cannot {doing} {str(path)!r}: {reason}.") from error
