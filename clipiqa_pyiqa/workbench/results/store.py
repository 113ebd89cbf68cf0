"""Results of a run: the file that people see, and until the run ends a journal ``NAME.part.jsonl`` beside it.

A cell is kept if the stamp of its row and the record of its column are the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import Kind
from ...text import log
from ..files.journal import Cells
from ..files.locking import locked
from .columns import Column, Record, changes, changes_text
from .companion_files import journal_of
from .earlier import EarlierRun, lasting_stamp
from .error_texts import with_lacks, with_unasked
from .header import Header
from .joined import JoinedValues, digest_of
from .merging import MergedRow, merged, unmerged
from .output import Output
from .publishing import publish
from .reading import read_cells
from .results_error import ResultsError
from .resuming import Resumed, log_resumed, read_earlier_header, read_earlier_run
from .row import FIELDS, Row, has_value
from .row_storage import JournalledRows, RowsInMemory
from .run_images import RunImages

if TYPE_CHECKING:
    from .scores import Scores


def open_results(output: Output | None, columns: Sequence[Column], reading: Record) -> Results:
    """Lock a file of results, and return its results, which are continued if ``output`` says so.

    Args:
        output: The file; None means that rows stay in memory.
        columns: The columns that the run scores.
        reading: How images are read; a file of images read in another way is not continued.

    Raises:
        ResultsError: If the file exists and is neither continued nor replaced, or if it cannot be continued.
    """
    header = Header(tuple(columns), reading)
    names = header.score_names
    if output is None:
        return Results(header, names)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(output.path))
        output.check_free()  # check again, as another run may have written results in the meantime
        earlier_file = output.earlier_file()
        resumed = None
        if output.resume and earlier_file is not None:
            before = read_earlier_header(earlier_file, output, header)
            reading_changes = changes(before.reading, header.reading)
            if reading_changes:
                log.warning(
                    f"{earlier_file} is made anew, with the images and metrics of this run only, as images were read "
                    f"otherwise: {changes_text(reading_changes)}."
                )
            else:
                resumed = read_earlier_run(earlier_file, output, before, header)
                log_resumed(resumed, before)
        return Results(header, names, output, resumed, stack.pop_all())


class Results:
    """The memory of a run: rows go to a journal, and from there to the file; without ``output`` they stay in memory.

    A context manager: at the end, the file is written if something is new and there was no error, and it is unlocked.
    :func:`open_results` makes it.

    Attributes:
        header: The columns of this run and of the earlier one.
        earlier: What an earlier run left; its rows have the names that this run gives their images.
        images: Which of the earlier run's images this run has.
        unmatched: Column of another tool's scores -> images that its file does not name.
        is_open: Whether the run has not ended.
        is_finished: Whether the run has ended without an error, and so its file is written.
    """

    is_open = True
    is_finished = False

    def __init__(
        self,
        header: Header,
        asked: Sequence[str],
        output: Output | None = None,
        resumed: Resumed | None = None,
        lock: contextlib.AbstractContextManager[Any] | None = None,
    ) -> None:
        self.header = resumed.header if resumed else header
        self.earlier = resumed.earlier if resumed else EarlierRun()
        self.images = RunImages(self.earlier)
        self.unmatched = dict[str, Sequence[str]]()
        self.output = output
        self._asked = asked
        self._joined = JoinedValues()
        self._lock = lock or contextlib.nullcontext()
        self._rows: RowsInMemory | JournalledRows
        if output is None:
            self._rows = RowsInMemory(["path", *asked, *FIELDS, *header.carried.values()])
        else:
            self._rows = JournalledRows(journal_of(output.path), resumed, self.earlier, self.images.renamed)
        self._are_columns_new = resumed is None or resumed.needs_writing

    def join_scores(self, column: Column, scores: Mapping[str, Any], unmatched: Sequence[str] = ()) -> None:
        """Add a column of scores in another tool's file (image -> score), or replace it.

        Args:
            unmatched: Images of the run that the file does not name.
        """
        name = column.name
        before = self.header.by_name.get(name)
        if before and before.lower_better != column.lower_better and self.output and not self.output.overwrite:
            raise ResultsError(
                f"{name!r} in {str(self.output.path)!r} has lower_better={before.lower_better}: keep it, or pass "
                "`overwrite` too.",
                options=("lower_better", "overwrite"),
            )
        if before != column or any(
            self.earlier.scores(image, [name]) != {name: scores.get(image)} for image in self.earlier
        ):
            self._are_columns_new = True
        self.header = self.header.with_columns([column])
        self._joined.scores[name] = scores
        if unmatched:
            self.unmatched[name] = unmatched

    def join_facts(self, column: str, facts: Mapping[str, Any]) -> None:
        """Add a column of facts such as people's opinions (image -> fact), or replace it."""
        digest = digest_of(facts)
        if self.header.joined.get(column) != digest:
            self._are_columns_new = True
        self.header = replace(self.header, joined={**self.header.joined, column: digest})
        self._joined.facts[column] = facts

    def keep_no_rows(self) -> None:
        """Drop the rows of a run without a file, of which nobody reads more than :meth:`completed` returns."""
        if isinstance(self._rows, RowsInMemory):
            self._rows.forget()

    def append(self, row: Row) -> None:
        """Store an image's row, with the scores that its earlier row keeps."""
        is_known = row.path in self.earlier
        if is_known:
            self.images.claim(row.path)
        if is_known and not self._asked:  # the earlier row has all that is known
            return
        merged_row = self._merged(row)
        carried_cells = {column: row.carried.get(name) for name, column in self.header.carried.items()}
        cells = {"path": row.path, **merged_row.scores, **merged_row.facts, **carried_cells}
        if isinstance(self._rows, JournalledRows) and not self._rows.has_begun:
            self._rows.begin(self.header)
        self._rows.append(cells)

    def completed(self, row: Row) -> Row:
        """Return an image's row with the asked scores that its earlier row keeps, and with joined scores."""
        if row.path not in self.earlier and not self._joined:  # another row would take as long as all the rest
            return row
        merged_row = self._merged(row)
        joined_scores = self._joined.scores_of(row.path)
        lacks = {name: score is None for name, score in joined_scores.items()}
        failure = with_lacks(row.path, merged_row.failure["kind"], merged_row.failure["error"], lacks)
        scores = (*(merged_row.scores.get(name) for name in self._asked), *joined_scores.values())
        has_scores = any(score is not None for score in scores)
        return replace(row, scores=scores if has_scores or not failure["kind"] else None, **failure)

    def _merged(self, row: Row) -> MergedRow:
        """Return a row with the scores of an earlier row, if the image is the same."""
        earlier_row = self.earlier.row(row.path)
        stamp = lasting_stamp(row.stamp, earlier_row.stamp) if earlier_row else ""
        if earlier_row is None or not stamp:
            return unmerged(row, self._asked)
        scored = row.asked_scores(self._asked)
        not_scored = [name for name in self.header.score_names if name not in scored]
        return merged(row, self._asked, earlier_row, self.earlier.scores(row.path, not_scored), stamp)

    def close(self) -> None:
        """Unlock the file, and leave the rows in the journal."""
        self._end(is_published=False)

    def publish(self) -> None:
        """Write the file if something is new, and unlock it."""
        self._end(is_published=True)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end(is_published=kind is None)

    def _end(self, *, is_published: bool) -> None:
        """Unlock the file; write it if asked and if something is new, else leave the rows in the journal."""
        self.is_open = False
        with self._lock:
            self._rows.close()
            if not is_published:
                return
            if self.output is not None and self._has_news():
                self.write(self.output.path, self.output.format)
                journal_of(self.output.path).unlink(missing_ok=True)
            self.is_finished = True

    def _has_news(self) -> bool:
        """Return whether the file would not be the same if it were written again."""
        has_new_rows = isinstance(self._rows, JournalledRows) and self._rows.has_begun
        return has_new_rows or self._are_columns_new or bool(self.images.renamed or self._dropped())

    def rows(self) -> Iterator[Cells]:
        """Yield the rows as they are published, column -> value, or text of a csv file."""
        if self.output is not None and self.is_finished:
            yield from read_cells(self.output.path, self.output.format, [])
            return
        dropped = self._dropped()
        for cells in self._rows.rows():
            if cells["path"] not in dropped:
                yield self._published(cells)

    def _dropped(self) -> set[str]:
        """Return the images whose earlier rows are left out."""
        return set(self.images.gone) if self.output and self.output.drop_vanished else set()

    def _published(self, cells: Cells) -> Cells:
        """Return a row with joined values, and with the reason why scores are missing."""
        path = cells["path"]
        earlier_cells = cells if self.images.is_unmet(path) else {}
        cells = {**cells, **self._joined.cells_of(path, earlier_cells)}
        lacks = {name: not has_value(cells, name) for name in self._joined.scores}
        cells.update(with_lacks(path, cells["kind"], cells["error"], lacks))
        missing = [name for name in self.header.score_names if name not in cells]
        was_readable = cells["width"] or cells["kind"] in (None, "", Kind.NOT_IN_FILE)
        if missing and was_readable:  # else the row's error is the reason for all columns
            cells.update(with_unasked(cells, missing))
        return cells

    def scores(self) -> Scores:
        """Return the scores of all rows, also of columns that this run did not ask for."""
        from .scores import Scores  # imported here, since it needs pandas

        return Scores.of(self.header, self.rows(), str(self.output.path) if self.output else "")

    def write(self, path: Path, format: str) -> None:
        """Write all rows to a file, unless it is the run's own and finished."""
        if self.is_finished and self.output is not None and path == self.output.path:
            return
        publish(path, format, self.header, self.rows())
