"""Results of a run: the file that people see, and until the run ends a journal ``NAME.part.jsonl`` beside it.

A cell is kept if the stamp of its row and the record of its column are the same.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import logging
import math
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import Kind, counted, first_of
from ..files.journal import Journal
from ..files.names import on_disk, printable
from ..files.reading import hash_file
from ..files.writing import check_output, locked, replacing, write_text
from ..sources.finding import file_of, split_name
from ..sources.stores import source_at
from .columns import Column, ResultsError, changes, changes_text, column_changes
from .formats import (
    FORMATS,
    METRIC,
    SCALE,
    Head,
    checked_reading,
    format_of,
    journal_of,
    provenance_of,
    read_cells,
    read_head,
    unfinished,
    write_cells,
)
from .rows import Row, is_final, worst_kind

if TYPE_CHECKING:
    from .scores import Scores

logger = logging.getLogger("clipiqa_pyiqa")
_FACTS = ("path", "width", "kind", "error", "stamp")


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
        if self.format not in FORMATS:
            raise ResultsError(f"format must be one of {', '.join(FORMATS)} for a file; got {self.format}.")
        for beside in (journal_of(self.path), provenance_of(self.path)):
            check_output(beside, overwrite=True)
        if self.earlier() == journal_of(self.path):
            with locked(self.path):  # raises if a run writes it
                pass
        self.check_free()

    def check_free(self) -> None:
        found = None if self.resume or self.overwrite else self.earlier()
        if found == journal_of(self.path):
            raise ResultsError(f"{unfinished(self.path)}, or `overwrite` to start again.")
        if found is not None:
            raise ResultsError(f"{str(found)!r} exists already: pass `resume` to continue its run, or `overwrite`.")

    def earlier(self) -> Path | None:
        """Return the file that holds what is known: the journal if there is one, else the result file."""
        files = (journal_of(self.path), self.path)
        return next((path for path in files if path.is_file() and path.stat().st_size), None)


@dataclass
class Known:
    """The rows of an earlier run, in arrays.

    Attributes:
        sources: Asked column -> the earlier column whose values are its own; None: there is none.
        places: Image -> the place of its newest row.
        scores: Earlier column -> score of each place; NaN: none.
        came: Earlier column -> whether the earlier run had come to it, for each place.
        failures: Place -> kind and words of a failure, and whether it is one of the image for every metric.
        same_decoders: Whether a damaged image would be found damaged again.
        stamp: The stamp of images that have none of their own: their shard's.
    """

    sources: dict[str, str | None] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    stamps: list[str] = field(default_factory=list)
    scores: dict[str, array[float]] = field(default_factory=dict)
    came: dict[str, bytearray] = field(default_factory=dict)
    failures: dict[int, tuple[Kind, str, bool]] = field(default_factory=dict)
    seen: bytearray = field(default_factory=bytearray)
    interrupted: bool = False
    same_decoders: bool = True
    stamp: str = ""
    kept: int = 0
    changed: int = 0
    new: int = 0
    more: int = 0
    failed: int = 0

    def __bool__(self) -> bool:
        return bool(self.places)

    def add(self, cells: Mapping[str, Any]) -> int:
        """Take the newest row of an image, and return its place."""
        place = self.places.setdefault(cells["path"], len(self.stamps))
        if place == len(self.stamps):
            self.stamps.append("")
            self.seen.append(0)
            for name, scores in self.scores.items():
                scores.append(math.nan)
                self.came[name].append(0)
        self.stamps[place] = cells["stamp"] or ""
        for name, scores in self.scores.items():
            score = cells.get(name)
            scores[place] = math.nan if score in (None, "") else float(score)
            self.came[name][place] = name in cells
        self.failures.pop(place, None)
        if cells["kind"]:
            self.failures[place] = Kind(cells["kind"]), cells["error"], not cells["width"]
        return place

    def of(self, image: Any, able: Collection[bool] | None = None) -> list[bool | None]:
        """Return for each asked column whether the image's cell is kept; None: the earlier run had not come to it.

        False stands for a changed image and for a failure that is tried again. The image has ``name`` and ``stamp()``.
        Counted are the columns that are ``able`` to score; by default all.
        """
        place = self.places.get(printable(image.name))
        if place is None:
            self.new += 1
            return [None if self.interrupted else False] * len(self.sources)
        self.seen[place] = 1
        if not self.stamps[place] or (image.stamp() or self.stamp) != self.stamps[place]:
            self.changed += 1
            return [False] * len(self.sources)
        found = [self._is_kept(place, source) for source in self.sources.values()]
        is_done = all(itertools.compress(found, able or [True] * len(found)))
        self.more += not is_done
        if is_done:
            self.kept += 1
            self.failed += place in self.failures and any(math.isnan(self.score(place, name)) for name in self.sources)
        return found

    def _is_kept(self, place: int, source: str | None) -> bool | None:
        kind, _, of_image = self.failures.get(place, (None, "", False))
        if of_image:
            return is_final(kind, self.same_decoders)
        if source is None or not self.came[source][place]:
            return None
        return is_final(kind, self.same_decoders) or not math.isnan(self.scores[source][place])

    def has(self, place: int, column: str) -> bool:
        """Return whether an earlier run had come to a cell."""
        came = self.came.get(self.sources.get(column, column) or "")
        return came is not None and bool(came[place])

    def score(self, place: int, column: str) -> float:
        """Return the score of an asked or of another column; NaN if there is none."""
        scores = self.scores.get(self.sources.get(column, column) or "")
        return math.nan if scores is None else scores[place]

    @property
    def unseen(self) -> dict[str, int]:
        return {name: place for name, place in self.places.items() if not self.seen[place]}

    @property
    def gone(self) -> dict[str, int]:
        """Those of ``unseen`` whose file does not exist, or whose shard is another one now."""
        now, found = functools.cache(lambda shard: source_at(shard).stamp()), {}
        for name, place in self.unseen.items():
            shard = on_disk(split_name(name)[0])
            if now(shard) not in (None, self.stamps[place]) if shard else not file_of(on_disk(name)):
                found[name] = place
        return found

    @property
    def sentence(self) -> str:
        more = f"{self.more:,} to be completed, " if self.more else ""
        gone = f", {counted(count, 'row')} of images that are gone" if (count := len(self.gone)) else ""
        return f"{self.kept:,} done before, {more}{self.changed:,} changed since, {self.new:,} new{gone}"


class Results:
    """The memory of a run: rows go to a journal, and from there to the file; without ``output`` they stay in memory.

    A context manager: inside, the file is locked; at the end, it is written if there was no error and there is
    something new.

    Args:
        output: The file, or None.
        reading: How images are read. A file whose images were read in another way is not continued.
        exact: Leave out earlier rows of images that this run does not have.
        kept: Value that images bring -> its column.
    """

    def __init__(
        self,
        output: Output | None,
        columns: Sequence[Column],
        reading: Mapping[str, Any],
        *,
        exact: bool = False,
        kept: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.head, self.known = Head(tuple(columns), reading, dict.fromkeys(kept.values(), "")), Known()
        self._kept = kept
        self._asked, self._exact = [column.name for column in columns], exact
        self.output, self.keeps = output, True
        self._joined: dict[str, Mapping[str, Any]] = {}
        self._rows: list[dict[str, Any]] = []  # without an output
        self._earlier: tuple[Path, str, Head] | None = None  # with the format
        self._journal: Journal | None = None
        self._lines, self._newest = 0, array("q")  # of the journal; the line of each place
        self._gone = set[str]()  # earlier columns that were made in another way
        self._is_new, self._is_published, self._lock = True, False, contextlib.ExitStack()
        if output is not None:
            with contextlib.ExitStack() as stack:
                stack.enter_context(locked(output.path))
                output.check_free()  # check again, as another run may have written results in the meantime
                if output.resume and (path := output.earlier()):
                    self._take(path, output)
                self._lock = stack.pop_all()

    def join(self, column: Column | str, values: Mapping[str, Any]) -> None:
        """Add a column of values that need no image (image -> value), in place of earlier values of this column."""
        before = self._earlier[2] if self._earlier else Head(())
        if isinstance(column, Column):
            others = [each for each in self.head.columns if each.name != column.name]
            self.head, name = replace(self.head, columns=(*others, column)), column.name
            is_same = column in before.columns
        else:
            name = column
            text = json.dumps(sorted((image, str(value)) for image, value in values.items()))
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
            self.head = replace(self.head, joined={**self.head.joined, name: digest})
            is_same = before.joined.get(name) == digest
        self._joined[name] = values
        self._is_new |= not is_same

    def append(self, row: Row) -> Row:
        """Store the row of an image; return it with the cells that are kept from an earlier row, and joined scores."""
        place, asked = self.known.places.get(row.path), row.asked or (True,) * len(self._asked)
        scores = row.scores or (None,) * len(self._asked)
        cells = {name: score for name, score, is_asked in zip(self._asked, scores, asked, strict=True) if is_asked}
        stamp, kind, error = row.stamp or self.known.stamp, row.kind, row.error
        facts = {**row.facts(), "stamp": stamp}
        if place is not None:
            self.known.seen[place] = 1
            if stamp and stamp == self.known.stamps[place]:
                others = [name for name in self.head.scores if name not in cells]
                kept = {name: self.known.score(place, name) for name in others if self.known.has(place, name)}
                cells |= {name: None if math.isnan(score) else score for name, score in kept.items()}
                earlier_kind, earlier_error, _ = self.known.failures.get(place, (None, "", False))
                missing = [name for name in kept if cells[name] is None]
                if missing:
                    facts["kind"] = worst_kind([row.kind, earlier_kind])
                    facts["error"] = " ".join(dict.fromkeys(filter(None, [row.error, earlier_error])))
                    if not set(missing).isdisjoint(self._asked):
                        kind, error = facts["kind"], facts["error"]
        if place is None or self._asked:
            beside = {column: row.kept.get(name) for name, column in self._kept.items()}
            self._write({"path": row.path, **cells, **facts, **beside}, place)
        if place is None and not self._joined:  # another row would take as long as all the rest
            return row
        found = [cells.get(name) for name in self._asked]
        found += [values.get(row.path) for name, values in self._joined.items() if name not in self.head.joined]
        return replace(row, scores=None if set(found) <= {None} and kind else tuple(found), kind=kind, error=error)

    def close(self) -> None:
        """Unlock the file, and leave the rows in the journal."""
        self.__exit__(GeneratorExit)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._lock:
            if self._journal is not None:
                self._journal.close()
            if kind is None and self.output is not None:
                if self._is_new or self._dropped():
                    self.write(self.output.path, self.output.format)
                    journal_of(self.output.path).unlink(missing_ok=True)
                self._is_published = True

    def cells(self) -> Iterator[dict[str, Any]]:
        """Yield the rows as they are published, column -> value, or text of a csv file."""
        if self.output is None:
            yield from map(self._finished, map(dict, self._rows))
            return
        if self._is_published:
            yield from read_cells(self.output.path, self.output.format, [])
            return
        damage, journal = list[str](), self._journal
        rows = self._earlier_cells(damage) if journal is None else _read(journal.path, "jsonl", damage)
        dropped = self._dropped()
        for number, cells in enumerate(rows):
            place = self.known.places.get(cells["path"])
            if place is None or (self._newest[place] == number and place not in dropped):
                yield self._finished(cells)
        if damage and journal is not None:
            raise ResultsError(f"{str(journal.path)!r} was damaged during the run ({damage[0]}): pass `resume`.")

    def _dropped(self) -> set[int]:
        """Return the places of earlier rows that are left out."""
        if self._exact:
            return {*self.known.unseen.values()}
        return {*self.known.gone.values()} if self.output and self.output.drop_vanished else set()

    def scores(self) -> Scores:
        """Return the scores of all rows, also of columns that this run did not ask for."""
        from .scores import Scores  # imported here, since it needs pandas

        return Scores.of(self.head, self.cells(), str(self.output.path) if self.output else "")

    def write(self, path: Path, format: str) -> None:
        """Write all rows to a file, unless it is the run's own and finished."""
        if self._is_published and self.output is not None and path == self.output.path:
            return
        with replacing(path) as partial:
            write_cells(partial, format, self.head, self.cells())
            digest = hash_file(partial)
        if format != "parquet":
            record = {"file": path.name, "sha256": digest, **self.head.record}
            write_text(provenance_of(path), json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    def _take(self, path: Path, output: Output) -> None:
        """Read what an earlier run left. Raises ``ResultsError`` if it cannot be continued."""
        format = output.format if path == output.path else "jsonl"
        with checked_reading(path, format):
            before = read_head(path, format)
        if before is None:
            raise ResultsError(
                f"{str(path)!r} cannot be resumed, because {provenance_of(output.path).name!r} with its provenance is "
                "missing: pass `overwrite`, or name another file."
            )
        earlier = {column.name: column for column in before.columns}
        twins = {column.fingerprint: column.name for column in reversed(before.columns) if column.fingerprint}
        if found := changes(before.reading, self.head.reading):
            raise _made_otherwise(path, found, "use the earlier options, or name another file")
        for column in self.head.columns:
            name, made, was = column.name, column.fingerprint, earlier.get(column.name)
            is_same = was is not None and made == was.fingerprint != ""
            self.known.sources[name] = name if is_same else twins.get(made)
            if was is not None and not is_same:
                self._gone.add(name)
                if made and not output.overwrite and "error" not in was.record:
                    found += column_changes(was, column)
            if not made:
                logger.warning("%s scores all images again, since its changes cannot be seen.", name)
        if found:
            advice = "use the earlier options, name another file, or pass `overwrite` too, to score these columns again"
            raise _made_otherwise(path, found, advice)
        order = {column.name: column for column in (*before.columns, *self.head.columns)}
        self.head = replace(self.head, columns=tuple(order.values()), joined={**before.joined, **self.head.joined})
        self._earlier, self.known.interrupted = (path, format, before), path != output.path
        self.known.same_decoders = before.reading.get("decoders") == self.head.reading.get("decoders")
        self._is_new = self.known.interrupted or len(order) > len(earlier) or bool(self._gone)
        self.known.scores = {name: array("d") for name in earlier}
        self.known.came = {name: bytearray() for name in earlier}
        damage = list[str]()
        for number, cells in enumerate(_read(path, format, damage, [*_FACTS, *earlier])):
            place = self.known.add(cells)
            self._newest[place : place + 1] = array("q", [number])
        if damage:
            logger.warning("%s: damaged rows are left out and scored again: %s.", path, first_of(damage))

    def _earlier_cells(self, damage: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows of the earlier run, with its cells under the names of this run; numbers of csv stay texts."""
        copied = [(name, source) for name, source in self.known.sources.items() if source and source != name]
        unwanted = (*self._gone, SCALE, METRIC)
        for cells in _read(*self._earlier[:2], damage) if self._earlier else ():
            copies = [(name, cells[source]) for name, source in copied if source in cells]
            for name in unwanted:
                cells.pop(name, None)
            cells.update(copies)
            yield cells

    def _write(self, cells: dict[str, Any], place: int | None) -> None:
        if self.output is None:
            self._rows += [cells] if self.keeps else []
            return
        if self._journal is None:
            rows = itertools.chain([{"head": self.head.record}], self._copied())
            self._journal, self._is_new = Journal.create(journal_of(self.output.path), rows), True
        self._journal.append(cells)
        if place is not None:
            self._newest[place] = self._lines
        self._lines += 1

    def _copied(self) -> Iterator[dict[str, Any]]:
        for number, cells in enumerate(self._earlier_cells([])):
            place = self.known.places[cells["path"]]
            if self._newest[place] == number:
                self._newest[place] = self._lines
                self._lines += 1
                yield cells

    def _finished(self, cells: dict[str, Any]) -> dict[str, Any]:
        path = cells["path"]
        for name, values in self._joined.items():
            cells[name] = values.get(path)
        missing = [name for name in self.head.scores if name not in cells]
        if missing and (cells["width"] or not cells["kind"]):
            why = f"{path!r} has no {', '.join(missing)}: no run asked for it since the image was new or had changed."
            kinds = [Kind(cells["kind"]) if cells["kind"] else None, Kind.NOT_ASKED]
            cells |= {"kind": worst_kind(kinds), "error": f"{cells['error'] or ''} {why}".strip()}
        return cells


def _read(path: Path, format: str, damage: list[str], names: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    with checked_reading(path, format):
        yield from read_cells(path, format, damage, names)


def _made_otherwise(path: Path, found: Sequence[tuple[str, str, str]], advice: str) -> ResultsError:
    why = f"{str(path)!r} cannot be resumed, as its scores were made in another way: {changes_text(found)}"
    return ResultsError(f"{why}; {advice}.")
