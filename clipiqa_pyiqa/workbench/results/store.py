"""Results of a run: the file that people see, and until the run ends a journal ``NAME.part.jsonl`` beside it.

A cell is kept if the stamp of its row and the record of its column are the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import pickle
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import Kind
from ..files.journal import Cells, Journal
from ..files.locking import locked
from .columns import Column, Record, ResultsError
from .earlier import EarlierRun, Failure, lasting_stamp
from .formats import journal_of
from .header import Header
from .output import Output
from .publishing import publish
from .reading import read_cells
from .resuming import Resumed, read_earlier_run
from .row import FIELDS, Row, failure_with_lacks, worst_kind
from .run_images import RunImages

if TYPE_CHECKING:
    from .scores import Scores


class Results:
    """The memory of a run: rows go to a journal, and from there to the file; without ``output`` they stay in memory.

    A context manager: inside, the file is locked; at the end, it is written if something is new and there was no error.

    Args:
        output: The file, or None.
        reading: How images are read; a file of images read in another way is not continued.

    Attributes:
        earlier: What an earlier run left; its rows have the names that this run gives their images.
        images: Which of the earlier run's images this run has.
        is_open: Whether the run has not ended.
        is_finished: Whether the run has ended without an error, and so its file is written.
    """

    is_open = True
    is_finished = False

    def __init__(self, output: Output | None, columns: Sequence[Column], reading: Record) -> None:
        self.header = Header(tuple(columns), reading)
        self.earlier = EarlierRun()
        self.output = output
        self.has_rows_in_memory = True
        self._asked = [column.name for column in columns]
        self._joined: dict[str, Mapping[str, Any]] = {}
        self._names = ["path", *self._asked, *FIELDS, *self.header.carried.values()]
        self._rows: list[bytes] = []  # without an output: the values of each row; dicts take far more memory
        self._resumed: Resumed | None = None
        self._journal: Journal | None = None
        self._lines = 0  # of the journal
        self._newest = array("q")  # the line of the newest row of each place
        self._needs_writing = True
        self._lock = contextlib.ExitStack()
        if output is not None:
            with contextlib.ExitStack() as stack:
                stack.enter_context(locked(output.path))
                output.check_free()  # check again, as another run may have written results in the meantime
                earlier_file = output.earlier()
                if output.resume and earlier_file is not None:
                    self._resumed = read_earlier_run(earlier_file, output, self.header)
                self._lock = stack.pop_all()
        if self._resumed is not None:
            self.header = self._resumed.header
            self.earlier = self._resumed.earlier
            self._newest = self._resumed.newest
            self._needs_writing = self._resumed.needs_writing
        self.images = RunImages(self.earlier)

    def join(self, column: Column | str, values: Mapping[str, Any]) -> None:
        """Add a column of values that need no image (image -> value), or replace it."""
        if isinstance(column, Column):
            self._join_scores(column, values)
            self._joined[column.name] = values
            return
        text = json.dumps(sorted((image, str(value)) for image, value in values.items()))
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        if self.header.joined.get(column) != digest:
            self._needs_writing = True
        self.header = replace(self.header, joined={**self.header.joined, column: digest})
        self._joined[column] = values

    def _join_scores(self, column: Column, scores: Mapping[str, Any]) -> None:
        name = column.name
        before = self.header.by_name.get(name)
        if before and before.lower_better != column.lower_better and self.output and not self.output.overwrite:
            raise ResultsError(
                f"{name!r} in {str(self.output.path)!r} has {{lower_better}}={before.lower_better}: keep it, or pass "
                "`{overwrite}` too.",
                options=("lower_better", "overwrite"),
            )
        if before != column or any(
            self.earlier.scores(image, [name]) != {name: scores.get(image)} for image in self.earlier
        ):
            self._needs_writing = True
        self.header = self.header.with_columns([column])

    def append(self, row: Row) -> Row:
        """Store an image's row; return it with cells kept from an earlier row, and joined scores."""
        scores = row.scores or [None] * len(self._asked)
        is_asked = row.asked or [True] * len(self._asked)
        scores_by_name = dict(zip(self._asked, scores, strict=True))
        cells = {name: scores_by_name[name] for name in itertools.compress(self._asked, is_asked)}
        facts = row.facts()
        failure = (row.kind, row.error)
        earlier_row = self.earlier.row(row.path)
        stamp = lasting_stamp(row.stamp, earlier_row.stamp) if earlier_row else ""
        if earlier_row is not None:
            self.images.claim(row.path)
        if earlier_row is not None and stamp:
            others = [name for name in self.header.scores if name not in cells]
            carried = self.earlier.scores(row.path, others)
            cells |= carried
            facts["stamp"] = stamp
            failed = {name for name, score in carried.items() if score is None}
            if failed:
                facts |= _failure_of_both(row, earlier_row.failure)
                if not failed.isdisjoint(self._asked):
                    failure = (facts["kind"], facts["error"])
        if earlier_row is None or self._asked:
            beside = {column: row.carried.get(name) for name, column in self.header.carried.items()}
            self._write({"path": row.path, **cells, **facts, **beside})
        if earlier_row is None and not self._joined:  # another row would take as long as all the rest
            return row
        return self._published(row, cells, *failure)

    def _published(self, row: Row, cells: Cells, kind: Kind | None, error: str) -> Row:
        """Return a row with these scores, joined scores, and a failure that names the joined scores that it lacks."""
        joined = self._joined_scores(row.path)
        failure = failure_with_lacks(row.path, kind, error, {name: score is None for name, score in joined.items()})
        scores = (*(cells.get(name) for name in self._asked), *joined.values())
        has_scores = any(score is not None for score in scores)
        return replace(row, scores=scores if has_scores or not failure["kind"] else None, **failure)

    def _joined_scores(self, image: str) -> dict[str, Any]:
        """Return column -> the score of an image in another tool's file, or None."""
        files = {name: values for name, values in self._joined.items() if name not in self.header.joined}
        return {name: values.get(image) for name, values in files.items()}

    def close(self) -> None:
        """Unlock the file, and leave the rows in the journal."""
        self._end(publish=False)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end(publish=kind is None)

    def _end(self, *, publish: bool) -> None:
        """Unlock the file; write it if asked and if something is new, else leave the rows in the journal."""
        self.is_open = False
        with self._lock:
            if self._journal is not None:
                self._journal.close()
            if not publish:
                return
            if self.output is not None and (self._needs_writing or self.images.renamed or self._dropped()):
                self.write(self.output.path, self.output.format)
                journal_of(self.output.path).unlink(missing_ok=True)
            self.is_finished = True

    def rows(self) -> Iterator[Cells]:
        """Yield the rows as they are published, column -> value, or text of a csv file."""
        if self.output is None:
            for values in self._rows:
                yield self._finished(dict(zip(self._names, pickle.loads(values), strict=True)))
            return
        if self.is_finished:
            yield from read_cells(self.output.path, self.output.format, [])
            return
        damage = list[str]()
        journal = self._journal
        dropped = self._dropped()
        rows = self._earlier_rows(damage) if journal is None else read_cells(journal.path, "jsonl", damage)
        for number, cells in enumerate(rows):
            cells["path"] = self.images.renamed.get(cells["path"], cells["path"])
            place = self.earlier.place(cells["path"])
            if place is None or (self._newest[place] == number and cells["path"] not in dropped):
                yield self._finished(cells)
        if damage and journal is not None:
            raise ResultsError(
                f"{str(journal.path)!r} was damaged during the run ({damage[0]}): pass `{{resume}}`.",
                options=("resume",),
            )

    def _dropped(self) -> set[str]:
        """Return the images whose earlier rows are left out."""
        return set(self.images.gone) if self.output and self.output.drop_vanished else set()

    def scores(self) -> Scores:
        """Return the scores of all rows, also of columns that this run did not ask for."""
        from .scores import Scores  # imported here, since it needs pandas

        return Scores.of(self.header, self.rows(), str(self.output.path) if self.output else "")

    def write(self, path: Path, format: str) -> None:
        """Write all rows to a file, unless it is the run's own and finished."""
        if self.is_finished and self.output is not None and path == self.output.path:
            return
        publish(path, format, self.header, self.rows())

    def _earlier_rows(self, damage: list[str]) -> Iterator[Cells]:
        """Yield the earlier run's rows, with the names that this run gives columns and images."""
        if self._resumed is None:
            return
        for cells in self._resumed.rows(damage):
            cells["path"] = self.images.renamed.get(cells["path"], cells["path"])
            yield cells

    def _write(self, cells: Cells) -> None:
        if self.output is None:
            if self.has_rows_in_memory:
                self._rows.append(pickle.dumps([cells.get(name) for name in self._names]))
            return
        if self._journal is None:
            rows = itertools.chain([{"head": self.header.record}], self._copied())
            self._journal = Journal(journal_of(self.output.path), rows)
            self._needs_writing = True
        self._journal.append(cells)
        place = self.earlier.place(cells["path"])
        if place is not None:
            self._newest[place] = self._lines
        self._lines += 1

    def _copied(self) -> Iterator[Cells]:
        for number, cells in enumerate(self._earlier_rows([])):
            place = self.earlier.place(cells["path"])
            if place is not None and self._newest[place] == number:
                self._newest[place] = self._lines
                self._lines += 1
                yield cells

    def _finished(self, cells: Cells) -> Cells:
        path = cells["path"]
        is_of_run = not self.images.is_unmet(path)
        for name, values in self._joined.items():
            is_empty = is_of_run or name in self.header.joined  # a value such as a method holds in this run alone
            cells[name] = values.get(path, None if is_empty else cells.get(name))
        lacks = {name: cells[name] in (None, "") for name in self._joined if name not in self.header.joined}
        cells.update(failure_with_lacks(path, cells["kind"], cells["error"], lacks))
        missing = [name for name in self.header.scores if name not in cells]
        if missing and (cells["width"] or cells["kind"] in (None, "", Kind.NOT_IN_FILE)):
            cells["kind"] = worst_kind([cells["kind"], Kind.NOT_ASKED])
            cells["error"] = (
                f"{cells['error'] or ''} {path!r} has no {', '.join(missing)}: no run asked for it, or could build it, "
                "since the image was new or had changed."
            ).strip()
        return cells


def _failure_of_both(row: Row, earlier: Failure | None) -> Cells:
    """Return ``kind`` and ``error`` of a row that has also failed before."""
    if earlier is None:
        return {"kind": worst_kind([row.kind]), "error": row.error}
    errors = dict.fromkeys(filter(None, [row.error, earlier.error]))
    return {"kind": worst_kind([row.kind, earlier.kind]), "error": " ".join(errors)}
