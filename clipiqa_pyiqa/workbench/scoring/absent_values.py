"""Values of shards that were to be kept, and that no sample has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import Kind
from ...text import first_of
from ..files.journal import Cells
from ..names.members import split_name
from ..results.row import has_value

LOOSE_PHOTOS = "loose photos"
"""What stands for the shard of all photos that are in no shard."""


def sentence_about_absent(name: str, shards: Sequence[str]) -> str:
    """Return a sentence about a value to keep that no sample of some shards has."""
    return f"no sample of {first_of(map(repr, shards))} has the value {name!r}, which was to be kept"


@dataclass
class AbsentValues:
    """Values to keep that no sample of a source has: a shard, or all loose photos together.

    Attributes:
        columns: Name of a value -> its column.
    """

    columns: Mapping[str, str]
    keep: Sequence[str]
    _absent_of: dict[str, set[str]] = field(default_factory=dict)  # source -> names of values

    def add(self, cells: Cells) -> None:
        if cells["kind"] != Kind.MISSING:
            absent = self._absent_of.setdefault(split_name(cells["path"])[0] or LOOSE_PHOTOS, set(self.keep))
            absent.difference_update(name for name, column in self.columns.items() if has_value(cells, column))

    def sentences(self) -> list[str]:
        sources_of = {
            name: [source for source, absent in self._absent_of.items() if name in absent] for name in self.keep
        }
        return [sentence_about_absent(name, sources) for name, sources in sources_of.items() if sources]
