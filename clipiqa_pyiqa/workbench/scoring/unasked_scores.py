"""Empty cells of scores that no run was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ...errors import Kind
from ...text import counted
from ..files.journal import Cells
from ..results.row import has_value


@dataclass
class UnaskedScores:
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
            self._counts.update(name for name in (*self.earlier_names, *own_names) if not has_value(cells, name))

    def sentences(self) -> list[str]:
        remedy = "to fill them, score all images again with the metrics of all columns"
        return [f"{counted(count, 'cell')} of {name} not asked for; {remedy}" for name, count in self._counts.items()]
