"""Where the rows of a run are until it ends: in memory, or in a journal beside its file."""

from __future__ import annotations

import itertools
import pickle
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..files.journal import Cells, Journal
from .earlier import EarlierRun
from .header import Header
from .reading import read_cells
from .results_error import ResultsError
from .resuming import Resumed


class RowsInMemory:
    """The rows of a run without a file.

    Args:
        names: The columns of a row.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._rows: list[bytes] = []  # the pickled values of each row: dicts take far more memory
        self._are_rows_wanted = True

    def append(self, cells: Cells) -> None:
        if self._are_rows_wanted:
            self._rows.append(pickle.dumps([cells.get(name) for name in self._names]))

    def forget(self) -> None:
        """Drop all rows, also those that are to come."""
        self._are_rows_wanted = False
        self._rows.clear()

    def rows(self) -> Iterator[Cells]:
        for values in self._rows:
            yield dict(zip(self._names, pickle.loads(values), strict=True))

    def close(self) -> None:
        """Do nothing: the rows stay in memory."""


class JournalledRows:
    """The rows of a run that writes a file: those of an earlier run, and after :meth:`begin`, a journal with both.

    Args:
        path: The journal.
        resumed: The rows of the earlier run, or None.
        earlier: The same rows by their images, under the names of this run.
        renamed: Name in the earlier run's file -> name in this run; it may grow during the run.
    """

    def __init__(self, path: Path, resumed: Resumed | None, earlier: EarlierRun, renamed: Mapping[str, str]) -> None:
        self.path = path
        self._resumed = resumed
        self._earlier = earlier
        self._renamed = renamed
        self._newest = resumed.newest if resumed else array("q")  # the number of the newest row of each place
        self._journal: Journal | None = None
        self._count = 0  # of the journal's rows

    @property
    def has_begun(self) -> bool:
        return self._journal is not None

    def begin(self, header: Header) -> None:
        """Write a journal of this header and the earlier run's rows."""
        self._journal = Journal(self.path, itertools.chain([{"head": header.record}], self._newest_rows([])))
        # rows keep their order, and older rows of the same images are left out
        places = sorted(range(len(self._newest)), key=self._newest.__getitem__)
        for number, place in enumerate(places):
            self._newest[place] = number
        self._count = len(places)

    def append(self, cells: Cells) -> None:
        """Write a row into the journal, which has begun; an older row of its image no longer counts."""
        assert self._journal is not None
        self._journal.append(cells)
        place = self._earlier.place(cells["path"])
        if place is not None:
            self._newest[place] = self._count
        self._count += 1

    def rows(self) -> Iterator[Cells]:
        """Yield the newest row of each image. Raises ``ResultsError`` if the journal was damaged during the run."""
        damage = list[str]()
        yield from self._newest_rows(damage)
        if damage and self.has_begun:
            raise ResultsError(
                f"{str(self.path)!r} was damaged during the run ({damage[0]}): pass `resume`.",
                options=("resume",),
            )

    def _newest_rows(self, damage: list[str]) -> Iterator[Cells]:
        for number, cells in enumerate(self._all_rows(damage)):
            cells["path"] = self._renamed.get(cells["path"], cells["path"])
            place = self._earlier.place(cells["path"])
            if place is None or self._newest[place] == number:
                yield cells

    def _all_rows(self, damage: list[str]) -> Iterator[Cells]:
        """Yield the rows of the journal, or of the earlier run if there is no journal yet."""
        if self.has_begun:
            return read_cells(self.path, "jsonl", damage)
        return self._resumed.rows(damage) if self._resumed is not None else iter(())

    def close(self) -> None:
        """Write the journal to the disk."""
        if self._journal is not None:
            self._journal.close()
