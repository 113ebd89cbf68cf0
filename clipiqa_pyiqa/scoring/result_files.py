"""Writing result files: rows are appended as they come, and whatever ends a run, the next one can go on from there.

While a run lasts, its rows are in a journal beside the file, ``NAME.part.jsonl``, each whole and with a checksum. At
the end they become plain rows, and ``NAME.provenance.json`` says how they were made, with the file's hash; in parquet,
the file's own metadata does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from ..files.hashes import hash_file
from ..files.journal import Journal, read_journal
from ..files.locking import locked
from ..files.writing import check_output, replacing, write_bytes, write_text
from .result_reading import FORMATS as FORMATS  # this and the next two are called by this module's name, too
from .result_reading import format_of as format_of
from .result_reading import read_any, reading
from .result_reading import read_results as read_results
from .rows import AlignedText, Csv, Header, Jsonl, ResultsError, Row, RowLayout, header_changes, write_parquet

_LEFT_OUT_SHOWN = 3  # of the rows that a warning names

logger = logging.getLogger("clipiqa_pyiqa")


@dataclass
class Output:
    """Where results go, decided and checked before anything is scored.

    Args:
        path: The file.
        format: One of ``FORMATS``.
        resume: Go on with what an earlier run left at ``path``.
        overwrite: Replace what is at ``path``.

    Raises:
        OutputError: The path cannot be written, or is taken and neither ``resume`` nor ``overwrite`` is given.
    """

    path: Path
    format: str
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        named, self.path = self.path, check_output(self.path, overwrite=True)
        self.special = self.path.exists() and not self.path.is_file()  # a pipe, /dev/null
        self.journal = self.path.with_name(f"{self.path.name}.part.jsonl")
        self.provenance = self.path.with_name(f"{self.path.name}.provenance.json")
        if self.format == "parquet" and self.special:
            raise ResultsError(f"parquet results cannot be written to {str(named)!r}, which is no regular file.")
        if self.resume and self.streamed:
            raise ResultsError("only csv, jsonl and parquet files can be resumed.")
        if not self.streamed:
            for beside in (self.journal, self.provenance):
                check_output(beside, overwrite=True)
        self.check_free()

    @property
    def streamed(self) -> bool:
        """Whether rows are written straight to the file, and there is nothing to resume."""
        return self.special or self.format == "table"

    def earlier(self) -> Path | None:
        """The file that an earlier run left its rows in, if there is one."""
        return next((path for path in (self.journal, self.path) if path.is_file() and path.stat().st_size), None)

    def check_free(self) -> None:
        """Raise if there are results which are neither to be resumed nor replaced."""
        if not self.resume and not self.overwrite and not self.special and (found := self.earlier()):
            raise ResultsError(f"{str(found)!r} exists already: pass --resume to go on with it, or --overwrite.")


class ResultWriter:
    """Writes rows to a stream as they come; a context manager.

    Attributes:
        done: Paths whose scores an earlier run left there.
    """

    def __init__(self, layout: RowLayout, stream: IO[bytes], name: str) -> None:
        self.done: frozenset[str] = frozenset()
        self._layout, self._stream, self._name = layout, stream, name
        self._append(layout.head())

    def write(self, row: Row) -> None:
        """Write one row.

        Raises:
            OutputError: The disk is full, or the like; the rows written before are kept.
        """
        self._append(self._layout.row(row))

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._append(self._layout.foot())

    def _append(self, text: str) -> None:
        try:
            rest = memoryview(text.encode())
            while rest:
                rest = rest[self._stream.write(rest) :]
            self._stream.flush()
        except BrokenPipeError:  # the reader of a pipe has gone: no error of ours
            raise
        except OSError as error:
            reason = f"{error.strerror or error}; what was written before is kept"
            raise ResultsError(f"cannot write to {self._name}: {reason}.") from error


class _FileWriter(ResultWriter):
    """Appends rows to a file's journal, and makes the file of it at the end."""

    def __init__(self, output: Output, header: Header, kept: Sequence[Row], lock: contextlib.ExitStack) -> None:
        self.done = frozenset(row.path for row in kept if row.kind is None)
        self._output, self._header, self._lock = output, header, lock
        head = {"columns": header.columns, "provenance": header.provenance}
        records = ({"head": head}, *(row.as_dict(header.columns) for row in kept))
        self._journal = Journal.create(output.journal, records)

    def write(self, row: Row) -> None:
        self._journal.append(row.as_dict(self._header.columns))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            with self._journal:
                if kind is None or not issubclass(kind, Exception):  # an interrupt promises that --resume goes on
                    self._journal.check()
            if kind is None:
                _publish(self._output, self._header)


def write_to(stream: IO[bytes], format: str, header: Header, paths: Collection[str] = ()) -> ResultWriter:
    """A writer to an open binary stream, such as standard output, which it leaves open.

    Args:
        stream: Where to write.
        format: ``'table'``, ``'csv'`` or ``'jsonl'``.
        header: What the rows have in common.
        paths: All the paths to come, for the width of a table.
    """
    return ResultWriter(_layout(format, header, paths), stream, "standard output")


def open_results(output: Output, header: Header, paths: Collection[str] = ()) -> ResultWriter:
    """A writer to a file, which nobody else writes to until its context ends.

    Args:
        output: The file.
        header: What the rows have in common; a file that is resumed must say the same.
        paths: All the paths to come. Those among them that failed in an earlier run are tried again.

    Raises:
        OutputError: The file cannot be written, is being written, or was made by another setup.
    """
    if output.streamed:
        if not output.special:
            write_bytes(output.path, b"")
        stream = open(output.path, "ab", buffering=0)  # noqa: SIM115 - open as long as the writer
        return ResultWriter(_layout(output.format, header, paths), stream, repr(str(output.path)))
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(output.path))
        output.check_free()  # again, now that nobody else can finish one
        kept = _kept_rows(output, header, Named(paths)) if output.resume else []
        return _FileWriter(output, header, kept, stack.pop_all())


class Named(Collection[str]):
    """Names of files, and of shards whose images are called ``SHARD::MEMBER``; what they hold need not be looked up."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def __contains__(self, name: object) -> bool:
        return name in self._names or (isinstance(name, str) and any(part in self._names for part in _shards_of(name)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _shards_of(name: str) -> Iterator[str]:
    """What a name would be a member of."""
    end = name.rfind("::")
    while end > 0:
        yield name[:end]
        end = name.rfind("::", 0, end)


def _layout(format: str, header: Header, paths: Collection[str]) -> RowLayout:
    if format == "table":
        return AlignedText(header, path_width=min(60, max(map(len, paths), default=0)))
    return Csv(header) if format == "csv" else Jsonl(header)


def _publish(output: Output, header: Header) -> None:
    """Turn a finished journal into the result file and what says how it was made."""
    damage: list[str] = []

    def rows() -> Iterator[Row]:
        records = read_journal(output.journal, damage)
        if "head" not in next(records, {}):
            damage.append("line 1")
        return (Row.from_dict(record, header.columns) for record in records)

    with replacing(output.path) as partial:
        with open(partial, "wb") as file:
            if output.format == "parquet":
                write_parquet(file, header, rows)
            else:
                layout = _layout(output.format, header, ())
                file.write(layout.head().encode())
                file.writelines(layout.row(row).encode() for row in rows())
        if damage:
            raise ResultsError(
                f"{str(output.journal)!r} was damaged during the run ({damage[0]}): --resume scores it again."
            )
        digest = hash_file(partial)
    if output.format != "parquet":
        said = {"file": output.path.name, "sha256": digest, "columns": header.columns, "provenance": header.provenance}
        write_text(output.provenance, json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    output.journal.unlink()


def _kept_rows(output: Output, header: Header, paths: Collection[str]) -> list[Row]:
    """An earlier run's rows, without the failures that this run tries again, and without what cannot be right."""
    path = output.earlier()
    if path is None:
        return []
    with reading(path):
        before, rows, damage = read_any(path, "jsonl" if path == output.journal else output.format)
    if not before.provenance:
        raise ResultsError(
            f"{str(path)!r} cannot be resumed, as {output.provenance.name!r} is not beside it, which says how its "
            "scores were made: use --overwrite, or another --out."
        )
    _check_same(path, before, header)
    wrong = _wrong_rows(header, rows)
    if left_out := [*damage, *wrong.values()]:
        shown, more = ", ".join(left_out[:_LEFT_OUT_SHOWN]), len(left_out) - _LEFT_OUT_SHOWN
        also = f" and {more} more" if more > 0 else ""
        logger.warning("%s: rows that cannot be right are left out, to be scored again: %s%s.", path, shown, also)
    return [row for row in rows if row.path not in wrong and not (row.kind and row.path in paths)]


def _wrong_rows(header: Header, rows: Iterable[Row]) -> dict[str, str]:
    """The paths of rows that no run of ours wrote -> what is wrong with them."""
    records = header.provenance.get("scores", {})
    # A fitted head may leave its range.
    most = [math.inf if records.get(name, {}).get("head") else 1 for name in header.columns]
    wrong, seen = {}, set()
    for row in rows:
        scores = zip(row.scores or (), most, strict=False)
        outside = [score for score, high in scores if not (math.isfinite(score) and (high > 1 or 0 <= score <= high))]
        if outside:
            wrong[row.path] = f"{row.path!r} (its score is {outside[0]})"
        elif row.path in seen:
            wrong[row.path] = f"{row.path!r} (there are several rows of it)"
        seen.add(row.path)
    return wrong


def _check_same(path: Path, before: Header, now: Header) -> None:
    if changes := header_changes(before, now):
        raise ResultsError(
            f"{str(path)!r} cannot be resumed, as its scores were made another way: {changes}; use the earlier "
            "options, or another --out."
        )
