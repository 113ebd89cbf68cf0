"""Reading a result file or a journal that a run continues."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...text import first_of, log
from ..files.journal import Cells
from .columns import Column, changes_text, differs_only_by_building
from .companion_files import provenance_of
from .earlier import EarlierRun
from .header import METRIC, SCALE, Header, header_changes
from .output import Output
from .reading import check_format, read_cells, read_header
from .results_error import ResultsError


@dataclass(frozen=True)
class Resumed:
    """The rows of an earlier run that a run continues.

    Attributes:
        path: The file or the journal.
        header: The columns and the reading of both runs.
        newest: The number of the newest row of each place.
        damage: What is wrong with rows that are left out.
    """

    path: Path
    format: str
    header: Header
    earlier: EarlierRun
    newest: array[int]
    damage: list[str]

    @property
    def needs_writing(self) -> bool:
        """Whether the file must be written even if no image is scored: after an interruption, or for other columns."""
        sources = self.earlier.sources
        return self.earlier.is_interrupted or any(name != source for name, source in sources.items())

    def rows(self, damage: list[str]) -> Iterator[Cells]:
        """Yield the rows, with the cells under the run's names; numbers of csv stay texts."""
        copied = {name: source for name, source in self.earlier.sources.items() if source != name}
        for cells in read_cells(self.path, self.format, damage):
            copied_cells = {name: cells[source] for name, source in copied.items() if source in cells}
            for name in (*copied, SCALE, METRIC):
                cells.pop(name, None)
            cells.update(copied_cells)
            yield cells


def read_earlier_header(path: Path, output: Output, header: Header) -> Header:
    """Return what a file or a journal says of its rows. Raises ``ResultsError`` if this run cannot continue it."""
    format = _format_of(path, output)
    check_format(path, format)
    before = read_header(path, format)
    if before is None:
        raise ResultsError(
            f"{str(path)!r} cannot be resumed, because {provenance_of(output.path).name!r} with its provenance is "
            "missing: pass `overwrite` instead of `resume`, or name another file.",
            options=("overwrite", "resume"),
        )
    if not output.overwrite:
        _check_same_scores(path, before, header)
    return before


def read_earlier_run(path: Path, output: Output, before: Header, header: Header) -> Resumed:
    """Return what a file or a journal, whose header is ``before``, holds for a run with another header."""
    format = _format_of(path, output)
    header = header.with_scored_columns(before)
    earlier = EarlierRun(
        before.score_names,
        {column.name: _source(column, before) for column in header.columns},
        is_interrupted=path != output.path,
        has_same_decoders=before.reading.get("decoders") == header.reading.get("decoders"),
    )
    newest = array("q")
    damage = list[str]()
    needed = ["path", "width", "kind", "error", "stamp", *before.score_names]
    for number, cells in enumerate(read_cells(path, format, damage, needed, before.score_names)):
        earlier.add(cells)
        place = earlier.place(cells["path"])
        if place == len(newest):
            newest.append(number)
        elif place is not None:
            newest[place] = number
    return Resumed(path, format, _header_of_both(before, header), earlier, newest, damage)


def log_resumed(resumed: Resumed, before: Header) -> None:
    """Log which columns are copied from others, which columns are scored again, and which rows are damaged."""
    for name, source in resumed.earlier.sources.items():
        column = resumed.header.by_name[name]
        if source not in (None, name):
            log.info(f"{name!r} is copied from {source!r}: one metric")
        earlier_column = before.by_name.get(name, column)
        if not earlier_column.is_broken and differs_only_by_building(earlier_column, column):
            why = f"since {resumed.path} does not tell the parameters of its scores"
            log.warning(f"{name} scores all images again, {why}.")
        if not column.fingerprint:
            log.warning(f"{name} scores all images again, since its object has no attribute `version`.")
    if resumed.damage:
        log.warning(f"{resumed.path}: damaged rows are left out and scored again: {first_of(resumed.damage)}.")


def _format_of(path: Path, output: Output) -> str:
    """Return the format of a run's file, or of its journal."""
    return output.format if path == output.path else "jsonl"


def _check_same_scores(path: Path, before: Header, header: Header) -> None:
    """Raise ``ResultsError`` if the scores of an earlier run were made in another way than those of this run."""
    differing = header_changes(before, header)
    if differing:
        raise ResultsError(
            f"{str(path)!r} cannot be resumed, as its scores were made in another way: {changes_text(differing)}; "
            "use the earlier options, name another file, or pass `overwrite` too, to score these columns again.",
            options=("overwrite",),
        )


def _header_of_both(before: Header, header: Header) -> Header:
    """Return the columns and joined values of two runs; where both have one, it is this run's."""
    joined = {**before.joined, **header.joined}
    return before.with_columns(header.columns, reading=header.reading, joined=joined)


def _source(column: Column, before: Header) -> str | None:
    """Return the earlier column of the same metric, if possible the one of this name; None: there is none."""
    names = [other.name for other in before.columns if other.fingerprint == column.fingerprint]
    if not column.fingerprint or not names:
        return None
    return column.name if column.name in names else names[0]
