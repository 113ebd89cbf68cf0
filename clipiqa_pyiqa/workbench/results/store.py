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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...checks import choice
from ...errors import Kind
from ...files.writing import check_output
from ...logger import log
from ...text import first_of
from ..files.journal import Cells, Journal
from ..files.locking import locked
from .columns import (
    FIELDS,
    Column,
    Known,
    Record,
    ResultsError,
    Row,
    changes,
    changes_text,
    failure_with_lacks,
    lacks_parameters,
    worst_kind,
)
from .formats import (
    METRIC,
    SCALE,
    SUFFIXES,
    Head,
    format_of,
    head_changes,
    journal_of,
    provenance_of,
    publish,
    read_cells,
    read_head,
    unfinished,
)

if TYPE_CHECKING:
    from .scores import Scores


@dataclass
class Output:
    """A result file to write. Raises ``OutputError`` at once if it cannot be written, or exists."""

    path: Path
    format: str = ""
    resume: bool = False
    overwrite: bool = False
    drop_vanished: bool = False

    def __post_init__(self) -> None:
        self.format = self.format or format_of(self.path)
        self.path = check_output(self.path, overwrite=True)
        choice("format of a file", self.format, dict.fromkeys(SUFFIXES.values()))
        for beside in (journal_of(self.path), provenance_of(self.path)):
            check_output(beside, overwrite=True)
        with locked(self.path):  # raises if a run writes it
            self.check_free()

    def check_free(self) -> None:
        found = None if self.resume or self.overwrite else self.earlier()
        if found == journal_of(self.path):
            raise ResultsError(f"{unfinished(self.path)}, or `overwrite` to start again.")
        if found is not None:
            raise ResultsError(f"{str(found)!r} exists already: pass `resume` to continue its run, or `overwrite`.")

    def earlier(self) -> Path | None:
        """Return the file with what is known: the journal, if any, else the result file."""
        files = (journal_of(self.path), self.path)
        return next((path for path in files if path.is_file() and path.stat().st_size), None)


class Results:
    """The memory of a run: rows go to a journal, and from there to the file; without ``output`` they stay in memory.

    A context manager: inside, the file is locked; at the end, it is written if something is new and there was no error.

    Args:
        output: The file, or None.
        reading: How images are read; a file of images read in another way is not continued.

    Attributes:
        is_open: Whether the run has not ended.
        is_finished: Whether the run has ended without an error, and so its file is written.
    """

    is_open, is_finished = True, False

    def __init__(self, output: Output | None, columns: Sequence[Column], reading: Record) -> None:
        self.head, self.known = Head(tuple(columns), reading), Known()
        self._asked = [column.name for column in columns]
        self.output, self.keeps = output, True
        self._joined: dict[str, Mapping[str, Any]] = {}
        self._names = ["path", *self._asked, *FIELDS, *self.head.kept.values()]
        self._rows: list[bytes] = []  # without an output: the values of each row; dicts take far more memory
        self._earlier: tuple[Path, str] | None = None  # with the format
        self._journal: Journal | None = None
        self._lines, self._newest = 0, array("q")  # of the journal; the line of each place
        self._is_new, self._lock = True, contextlib.ExitStack()
        if output is not None:
            with contextlib.ExitStack() as stack:
                stack.enter_context(locked(output.path))
                output.check_free()  # check again, as another run may have written results in the meantime
                if output.resume and (path := output.earlier()):
                    self._take(path, output)
                self._lock = stack.pop_all()

    def join(self, column: Column | str, values: Mapping[str, Any]) -> None:
        """Add a column of values that need no image (image -> value), or replace it."""
        if isinstance(column, Column):
            name, known, was = column.name, self.known, self.head.by_name.get(column.name)
            if was and was.lower_better != column.lower_better and self.output and not self.output.overwrite:
                raise ResultsError(
                    f"{name!r} in {str(self.output.path)!r} has lower_better={was.lower_better}: keep it, or pass "
                    "`overwrite` too."
                )
            self._is_new |= was != column or any(
                known.cells(place, [name]) != {name: values.get(image)} for image, place in known.places.items()
            )
            self.head = self.head.with_columns([column])
        else:
            name, text = column, json.dumps(sorted((image, str(value)) for image, value in values.items()))
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            self._is_new |= self.head.joined.get(name) != digest
            self.head = replace(self.head, joined={**self.head.joined, name: digest})
        self._joined[name] = values

    def append(self, row: Row) -> Row:
        """Store an image's row; return it with cells kept from an earlier row, and joined scores."""
        known, place, count = self.known, self.known.places.get(row.path), len(self._asked)
        given = zip(self._asked, row.scores or [None] * count, row.asked or [True] * count, strict=True)
        cells = {name: score for name, score, is_asked in given if is_asked}
        kind, error, facts = row.kind, row.error, row.facts()
        if place is not None:
            known.seen[place] = 1
            if stamp := known.lasting(place, facts["stamp"]):
                facts["stamp"] = stamp
                kept = known.cells(place, {*self.head.scores} - cells.keys())
                cells |= kept
                if missing := {name for name, score in kept.items() if score is None}:
                    earlier_kind, earlier_error, _ = known.failures.get(place, (None, "", False))
                    facts["kind"] = worst_kind([kind, earlier_kind])
                    facts["error"] = " ".join(dict.fromkeys(filter(None, [error, earlier_error])))
                    if not missing.isdisjoint(self._asked):
                        kind, error = facts["kind"], facts["error"]
        if place is None or self._asked:
            beside = {column: row.kept.get(name) for name, column in self.head.kept.items()}
            self._write({"path": row.path, **cells, **facts, **beside}, place)
        if place is None and not self._joined:  # another row would take as long as all the rest
            return row
        joined = self._joined_scores(row.path)
        failure = failure_with_lacks(row.path, kind, error, {name: score is None for name, score in joined.items()})
        scores = (*(cells.get(name) for name in self._asked), *joined.values())
        has_scores = any(score is not None for score in scores)
        return replace(row, scores=scores if has_scores or not failure["kind"] else None, **failure)

    def _joined_scores(self, image: str) -> dict[str, Any]:
        """Return column -> the score of an image in another tool's file, or None."""
        files = {name: values for name, values in self._joined.items() if name not in self.head.joined}
        return {name: values.get(image) for name, values in files.items()}

    def close(self) -> None:
        """Unlock the file, and leave the rows in the journal."""
        self.__exit__(GeneratorExit)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.is_open = False
        with self._lock:
            if self._journal is not None:
                self._journal.close()
            if kind is not None:
                return
            if self.output is not None and (self._is_new or self.known.renamed or self._dropped()):
                self.write(self.output.path, self.output.format)
                journal_of(self.output.path).unlink(missing_ok=True)
            self.is_finished = True

    def cells(self) -> Iterator[Cells]:
        """Yield the rows as they are published, column -> value, or text of a csv file."""
        if self.output is None:
            for values in self._rows:
                yield self._finished(dict(zip(self._names, pickle.loads(values), strict=True)))
            return
        if self.is_finished:
            yield from read_cells(self.output.path, self.output.format, [])
            return
        damage, journal, dropped = list[str](), self._journal, self._dropped()
        rows = self._earlier_cells(damage) if journal is None else read_cells(journal.path, "jsonl", damage)
        for number, cells in enumerate(rows):
            cells["path"] = self.known.renamed.get(cells["path"], cells["path"])
            place = self.known.places.get(cells["path"])
            if place is None or (self._newest[place] == number and place not in dropped):
                yield self._finished(cells)
        if damage and journal is not None:
            raise ResultsError(f"{str(journal.path)!r} was damaged during the run ({damage[0]}): pass `resume`.")

    def _dropped(self) -> set[int]:
        return {*self.known.gone.values()} if self.output and self.output.drop_vanished else set()

    def scores(self) -> Scores:
        """Return the scores of all rows, also of columns that this run did not ask for."""
        from .scores import Scores  # imported here, since it needs pandas

        return Scores.of(self.head, self.cells(), str(self.output.path) if self.output else "")

    def write(self, path: Path, format: str) -> None:
        """Write all rows to a file, unless it is the run's own and finished."""
        if self.is_finished and self.output is not None and path == self.output.path:
            return
        publish(path, format, self.head, self.cells())

    def _take(self, path: Path, output: Output) -> None:
        """Read what an earlier run left. Raises ``ResultsError`` if it cannot be continued."""
        known, format = self.known, output.format if path == output.path else "jsonl"
        before = read_head(path, format)
        if before is None:
            raise ResultsError(
                f"{str(path)!r} cannot be resumed, because {provenance_of(output.path).name!r} with its provenance is "
                "missing: pass `overwrite`, or name another file."
            )
        if (found := head_changes(before, self.head)) and not output.overwrite:
            raise ResultsError(
                f"{str(path)!r} cannot be resumed, as its scores were made in another way: {changes_text(found)}; use "
                "the earlier options, name another file, or pass `overwrite` too, to score these columns again."
            )
        if found := changes(before.reading, self.head.reading):
            log.warning(
                f"{path} is made anew, with the images and metrics of this run only, as images were read otherwise: "
                f"{changes_text(found)}."
            )
            return
        self.head = self.head.with_columns(_as_before(column, before) for column in self.head.columns)
        earlier = {column.name: column.fingerprint for column in before.columns}
        twins = {made: name for name, made in reversed(earlier.items()) if made}
        for column in self.head.columns:
            name, made = column.name, column.fingerprint
            known.sources[name] = source = name if made and made == earlier.get(name) else twins.get(made)
            if source not in (None, name):
                log.info(f"{name!r} is copied from {source!r}: one metric")
            if name in earlier and lacks_parameters(before.by_name[name], column):
                log.warning(f"{name} scores all images again, since {path} does not tell the parameters of its scores.")
            if not made:
                log.warning(f"{name} scores all images again, since its object has no attribute `version`.")
        joined = {**before.joined, **self.head.joined}
        self.head = before.with_columns(self.head.columns, reading=self.head.reading, joined=joined)
        self._earlier, known.interrupted = (path, format), path != output.path
        known.same_decoders = before.reading.get("decoders") == self.head.reading.get("decoders")
        self._is_new = known.interrupted or any(name != source for name, source in known.sources.items())
        known.scores = {name: array("d") for name in earlier}
        damage = list[str]()
        needed = ["path", "width", "kind", "error", "stamp", *earlier]
        for number, cells in enumerate(read_cells(path, format, damage, needed, [*earlier])):
            place = known.add(cells)
            self._newest[place : place + 1] = array("q", [number])
        if damage:
            log.warning(f"{path}: damaged rows are left out and scored again: {first_of(damage)}.")

    def _earlier_cells(self, damage: list[str]) -> Iterator[Cells]:
        """Yield the earlier run's rows, with its cells under this run's names; numbers of csv stay texts."""
        others = {name: source for name, source in self.known.sources.items() if source != name}
        for cells in read_cells(*self._earlier, damage) if self._earlier else ():
            cells["path"] = self.known.renamed.get(cells["path"], cells["path"])
            copies = [(name, cells[source]) for name, source in others.items() if source in cells]
            for name in (*others, SCALE, METRIC):
                cells.pop(name, None)
            cells.update(copies)
            yield cells

    def _write(self, cells: Cells, place: int | None) -> None:
        if self.output is None:
            if self.keeps:
                self._rows.append(pickle.dumps([cells.get(name) for name in self._names]))
            return
        if self._journal is None:
            rows = itertools.chain([{"head": self.head.record}], self._copied())
            self._journal, self._is_new = Journal(journal_of(self.output.path), rows), True
        self._journal.append(cells)
        if place is not None:
            self._newest[place] = self._lines
        self._lines += 1

    def _copied(self) -> Iterator[Cells]:
        for number, cells in enumerate(self._earlier_cells([])):
            place = self.known.places[cells["path"]]
            if self._newest[place] == number:
                self._newest[place] = self._lines
                self._lines += 1
                yield cells

    def _finished(self, cells: Cells) -> Cells:
        path = cells["path"]
        place = self.known.places.get(path)
        is_of_run = place is None or self.known.seen[place]
        for name, values in self._joined.items():
            is_empty = is_of_run or name in self.head.joined  # a value such as a method holds in this run alone
            cells[name] = values.get(path, None if is_empty else cells.get(name))
        lacks = {name: cells[name] in (None, "") for name in self._joined if name not in self.head.joined}
        cells.update(failure_with_lacks(path, cells["kind"], cells["error"], lacks))
        missing = [name for name in self.head.scores if name not in cells]
        if missing and (cells["width"] or cells["kind"] in (None, "", Kind.NOT_IN_FILE)):
            cells["kind"] = worst_kind([cells["kind"], Kind.NOT_ASKED])
            cells["error"] = (
                f"{cells['error'] or ''} {path!r} has no {', '.join(missing)}: no run asked for it, or could build it, "
                "since the image was new or had changed."
            ).strip()
        return cells


def _as_before(column: Column, before: Head) -> Column:
    """Return the column of an earlier run if the same metric could not be built now, so that its scores are kept."""
    earlier = before.by_name.get(column.name, column)
    return earlier if lacks_parameters(column, earlier) else column
