"""Values of shards and scores that the results of a finished run lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import Kind
from ...text import counted, first_of
from ..files.journal import Cells
from ..names.members import split_name

if TYPE_CHECKING:
    from .scoring_run import ScoringRun


def sentence_about_absent(name: str, shards: Sequence[str]) -> str:
    """Return a sentence about a value to keep that no sample of some shards has."""
    return f"no sample of {first_of(map(repr, shards))} has the value {name!r}, which was to be kept"


def lacks_of(run: ScoringRun, keep: Sequence[str]) -> list[str]:
    """Return sentences on what a finished run's results lack.

    These are values to ``keep`` that no sample of a shard has, and cells of scores that were never asked for.
    """
    names = run.header.score_names
    earlier_names = [name for name in run.results.header.score_names if name not in names]
    unseen_paths = set(run.results.images.unmet)
    if not (earlier_names or keep or unseen_paths):  # no row can lack anything
        return []
    absent_values = _AbsentValues(run.header.carried, keep)
    unasked_scores = _UnaskedScores(names, earlier_names, unseen_paths)
    for cells in run.results.rows():
        absent_values.add(cells)
        unasked_scores.add(cells)
    return [*absent_values.sentences(), *unasked_scores.sentences()]


@dataclass
class _AbsentValues:
    """Values to keep that no sample of a source has: a shard, or all loose photos together.

    Attributes:
        columns: Name of a value -> its column.
    """

    columns: Mapping[str, str]
    keep: Sequence[str]
    _absent_of: dict[str, set[str]] = field(default_factory=dict)  # source -> names of values

    def add(self, cells: Cells) -> None:
        if cells["kind"] != Kind.MISSING:
            absent = self._absent_of.setdefault(split_name(cells["path"])[0] or "loose photos", set(self.keep))
            absent.difference_update(name for name, column in self.columns.items() if _has_value(cells, column))

    def sentences(self) -> list[str]:
        sources_of = {
            name: [source for source, absent in self._absent_of.items() if name in absent] for name in self.keep
        }
        return [sentence_about_absent(name, sources) for name, sources in sources_of.items() if sources]


@dataclass
class _UnaskedScores:
    """Empty cells of scores that were not asked for.

    Attributes:
        names: Columns of this run's scores, which images of the earlier run alone lack.
        earlier_names: Columns that only the earlier run has, which new images lack.
        unseen_paths: Images that only the earlier run has.
    """

    names: Sequence[str]
    earlier_names: Sequence[str]
    unseen_paths: Collection[str]
    _counts: Counter[str] = field(default_factory=Counter)  # column -> empty cells

    def add(self, cells: Cells) -> None:
        if cells["kind"] == Kind.NOT_ASKED:
            own_names = self.names if cells["path"] in self.unseen_paths else ()
            self._counts.update(name for name in (*self.earlier_names, *own_names) if not _has_value(cells, name))

    def sentences(self) -> list[str]:
        remedy = "to fill them, score all images again with the metrics of all columns"
        return [f"{counted(count, 'cell')} of {name} not asked for; {remedy}" for name, count in self._counts.items()]


def _has_value(cells: Cells, column: str) -> bool:
    return cells[column] not in (None, "")
