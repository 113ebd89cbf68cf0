"""Per-image scores on disk as they come: small Parquet files, renamed into place whole, merged now and then.

Each process writes files of its own, so that several share one folder without locks, and whatever ends a run costs what
one process scored within the last second. A row is one metric on one image, or says why there is none; a score wins
over a failure, so that failures are tried again by a run that resumes.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .specification import CompareError

FLUSH_SECONDS = 1.0
_MERGE = 64  # files of one process
_COLUMNS = ("path", "metric", "score", "seconds", "error")
UNREADABLE = ""  # in place of a metric: the image itself could not be read


@dataclass(frozen=True)
class Entry:
    """One metric on one image.

    Attributes:
        score: None if there is none.
        seconds: Time in the metric.
        error: Why there is no score; empty if there is one.
    """

    score: float | None
    seconds: float
    error: str = ""


@dataclass
class ScoreStore:
    """The scores of one data set.

    Args:
        folder: Where they are kept; None for memory alone.
        owner: Of the files that are written here, such as ``'rank0'``.

    Attributes:
        entries: Metric key -> path -> entry; of ``UNREADABLE``, images that could not be read.
    """

    folder: Path | None
    owner: str = "rank0"
    entries: dict[str, dict[str, Entry]] = field(default_factory=dict)
    _pending: list[tuple[str, str, Entry]] = field(default_factory=list, init=False)
    _flushed: float = field(default_factory=time.monotonic, init=False)

    def get(self, metric: str, path: str) -> Entry | None:
        """What is known of a metric on an image."""
        return self.entries.get(metric, {}).get(path)

    def scored(self, metric: str, path: str) -> bool:
        """Whether there is a score, not a failure that is worth another try."""
        entry = self.get(metric, path)
        return entry is not None and not entry.error

    def add(self, metric: str, path: str, entry: Entry) -> None:
        """Note a result; it is on disk within a second or so."""
        self._note(metric, path, entry)
        if self.folder is not None:
            self._pending.append((path, metric, entry))
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet.

        Raises:
            CompareError: the disk is full, or the like; what was written before is kept.
        """
        self._flushed = time.monotonic()
        if self.folder is None or not self._pending:
            return
        self._write(self._pending)
        self._pending = []
        own = self._own()
        if len(own) >= _MERGE:
            self._merge(own)

    def load(self) -> None:
        """Read what any process has written.

        Raises:
            CompareError: a file is damaged.
        """
        for file in self._files():
            with contextlib.suppress(FileNotFoundError):  # its owner has just merged it into another
                for path, metric, entry in _read(file):
                    self._note(metric, path, entry)

    def merge(self) -> None:
        """Merge all files into one; only while no other process writes."""
        self.flush()
        if len(files := self._files()) > 1:
            self._merge(files)

    def clear(self) -> None:
        """Delete all files."""
        for file in self._files():
            file.unlink()

    def _note(self, metric: str, path: str, entry: Entry) -> None:
        known = self.entries.setdefault(metric, {})
        if not entry.error or path not in known or known[path].error:
            known[path] = entry

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet")) if self.folder is not None else []

    def _own(self) -> list[Path]:
        return [file for file in self._files() if file.name.startswith(f"{self.owner}-")]

    def _merge(self, files: list[Path]) -> None:
        rows = [row for file in files for row in _read(file)]
        kept = {(path, metric): (path, metric, entry) for path, metric, entry in rows if entry.error}
        kept.update({(path, metric): (path, metric, entry) for path, metric, entry in rows if not entry.error})
        self._write(list(kept.values()))
        for file in files:
            file.unlink(missing_ok=True)

    def _write(self, rows: list[tuple[str, str, Entry]]) -> None:
        import pyarrow
        import pyarrow.parquet

        assert self.folder is not None
        values: tuple[list[Any], ...] = (
            [path for path, _, _ in rows],
            [metric for _, metric, _ in rows],
            [entry.score for _, _, entry in rows],
            [entry.seconds for _, _, entry in rows],
            [entry.error for _, _, entry in rows],
        )
        types = (pyarrow.string(), pyarrow.string(), pyarrow.float64(), pyarrow.float64(), pyarrow.string())
        arrays = [pyarrow.array(column, kind) for column, kind in zip(values, types, strict=True)]
        table = pyarrow.table(arrays, names=list(_COLUMNS))
        # A name that sorts by time and that nobody else takes.
        path = self.folder / f"{self.owner}-{time.time_ns()}-{uuid.uuid4().hex[:8]}.parquet"
        with writing(self.folder):
            beside = path.with_suffix(".tmp")
            with open(beside, "wb") as file:
                pyarrow.parquet.write_table(table, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns an operating system's error into a sentence about where was to be written."""
    try:
        yield
    except OSError as error:
        raise CompareError(
            f"cannot write to {str(folder)!r}: {error.strerror or error}; what was written before is kept."
        ) from error


def _read(file: Path) -> Iterator[tuple[str, str, Entry]]:
    import pyarrow
    import pyarrow.parquet

    try:
        columns = pyarrow.parquet.read_table(file, columns=list(_COLUMNS)).to_pydict()
    except FileNotFoundError:
        raise
    except (OSError, pyarrow.ArrowException, ValueError) as error:
        raise CompareError(f"{str(file)!r} is damaged ({error}): delete it, to score its images again.") from error
    for path, metric, score, seconds, said in zip(*(columns[name] for name in _COLUMNS), strict=True):
        yield path, metric, Entry(score, seconds, said)
