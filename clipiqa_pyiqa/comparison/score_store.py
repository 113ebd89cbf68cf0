"""Per-image scores on disk as they come: a journal of each process, merged into one at the end.

Each process writes files of its own, so that several share one folder without locks, and whatever ends a run costs the
score that was under way. A row is one metric on one image, or says why there is none; a score wins over a failure, so
that failures are tried again by a run that resumes, as are rows that were damaged.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..datasets.specification import CompareError
from ..files.journal import Journal, read_journal

UNREADABLE = ""  # in place of a metric: the image itself could not be read


@dataclass(frozen=True)
class StoredScore:
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
        damaged: What ``load`` left out because its checksum is wrong, such as ``"line 7 of 'rank0-1.jsonl'"``.
    """

    folder: Path | None
    owner: str = "rank0"
    entries: dict[str, dict[str, StoredScore]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list, init=False)
    _journal: Journal | None = field(default=None, init=False)

    def begin(self) -> None:
        """Make the folder, and a file in it, by which it is known as ours."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._files():
                Journal.create(self._fresh()).close()

    def get(self, metric: str, path: str) -> StoredScore | None:
        """What is known of a metric on an image."""
        return self.entries.get(metric, {}).get(path)

    def scored(self, metric: str, path: str) -> bool:
        """Whether there is a score, not a failure that is worth another try."""
        entry = self.get(metric, path)
        return entry is not None and not entry.error

    def add(self, metric: str, path: str, entry: StoredScore) -> None:
        """Note a result, on disk at once.

        Raises:
            OutputError: The disk is full, or the like; what was written before is kept.
        """
        self._note(metric, path, entry)
        if self.folder is not None:
            if self._journal is None:
                self._journal = Journal.create(self._fresh())
            self._journal.append(_record(metric, path, entry))

    def close(self) -> None:
        """Close the file that this process writes; adding more begins another."""
        journal, self._journal = self._journal, None
        if journal is not None:
            with journal:
                journal.check()

    def load(self) -> None:
        """Read what any process has written, but for what is damaged."""
        for file in self._files():
            damage: list[str] = []
            with writing(file, "read"):
                for metric, path, entry in _read(file, damage):
                    self._note(metric, path, entry)
            named = [f"{line} of {str(file)!r}" for line in damage]
            self.damaged += [name for name in named if name not in self.damaged]

    def merge(self) -> None:
        """Merge all files into one; only while no other process writes."""
        self.close()
        if len(files := self._files()) > 1:
            merged = ScoreStore(None)
            for file in files:
                for row in _read(file, []):
                    merged._note(*row)
            known = merged.entries.items()
            records = [_record(metric, path, entry) for metric, rows in known for path, entry in rows.items()]
            Journal.create(self._fresh(), records).close()
            for file in files:
                file.unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete all files."""
        for file in self._files():
            file.unlink()

    def _note(self, metric: str, path: str, entry: StoredScore) -> None:
        known = self.entries.setdefault(metric, {})
        if not entry.error or path not in known or known[path].error:
            known[path] = entry

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"), key=lambda file: file.stem.split("-")[1:]) if self.folder else []

    def _fresh(self) -> Path:
        """A file that sorts by time and that nobody else takes."""
        assert self.folder is not None
        return self.folder / f"{self.owner}-{time.time_ns()}-{uuid.uuid4().hex[:8]}.jsonl"


@contextlib.contextmanager
def writing(path: Path, doing: str = "write to") -> Iterator[None]:
    """Turns an operating system's error into a sentence about where was to be written."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error}; what was written before is kept"
        raise CompareError(f"cannot {doing} {str(path)!r}: {reason}.") from error


def _record(metric: str, path: str, entry: StoredScore) -> Mapping[str, Any]:
    return {"path": path, "metric": metric, **asdict(entry)}


def _read(file: Path, damage: list[str]) -> Iterator[tuple[str, str, StoredScore]]:
    for row in read_journal(file, damage):
        yield row["metric"], row["path"], StoredScore(row["score"], row["seconds"], row["error"])
