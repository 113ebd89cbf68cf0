"""Scores of images, with what is known of them: the table that verdicts are made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ...errors import Kind
from ...text import printable
from ..files.journal import Cells
from ..names.members import split_name
from ..sources.image_files import image_at
from .columns import Column, Record
from .header import Header
from .row import NUMBERS

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Scores:
    """Scores of images.

    Attributes:
        frame: Column per score (NaN: missing); the index holds image names, which may repeat.
        other: The other columns of the file, with the same index: facts such as size and error, and joined values.
        columns: Score column -> what is known of it; empty for files of other tools.
        reading: How images were read.
        file: Where the scores are from; empty if they are in memory.
        is_ours: Whether this package wrote them.
    """

    frame: pandas.DataFrame
    other: pandas.DataFrame
    columns: Mapping[str, Column] = field(default_factory=dict)
    reading: Record = field(default_factory=dict)
    file: str = ""
    is_ours: bool = False

    @functools.cached_property
    def errors(self) -> dict[str, str]:
        """Image -> why scores are missing."""
        return _filled(self.other["error"]) if "error" in self.other else {}

    @property
    def flags(self) -> dict[str, str]:
        """Image -> what is unusual about it."""
        return _filled(self.other["flag"]) if self.is_ours and "flag" in self.other else {}

    @property
    def unread(self) -> dict[str, str]:
        """Image -> why it could not be read."""
        is_unread = self.other["width"].isna() & self.other["kind"].ne(Kind.NOT_IN_FILE)
        return _filled(self.other[is_unread]["error"])

    def changed(self, names: Iterable[str], path_of: Callable[[str], str]) -> list[str]:
        """Return the names whose file or shard has changed since it was scored, as stamps tell."""
        earlier_stamps = self.other["stamp"].to_dict() if self.is_ours and "stamp" in self.other else {}
        stamp_now = functools.cache(lambda file: image_at(file).stamp())  # many images are in one shard
        changed = list[str]()
        for name in names:
            path = path_of(name)
            shard, _ = split_name(path)
            stamp = stamp_now(shard or path)
            is_there = stamp.is_known and not stamp.is_missing
            earlier_stamp = earlier_stamps.get(name)
            if earlier_stamp and is_there and stamp not in str(earlier_stamp).split(","):
                changed.append(name)
        return changed

    @property
    def names(self) -> list[str]:
        """The names of the scores."""
        return list(self.frame.columns)

    @classmethod
    def of(cls, header: Header, rows: Iterable[Cells], file: str = "") -> Scores:
        """Return the scores in rows of results (column -> value, or its text)."""
        import pandas

        table = pandas.DataFrame(list(rows), columns=header.row_names)
        table.index = pandas.Index(table.pop("path").map(str), name="path", dtype=object)
        for name in (*header.score_names, *NUMBERS):
            table[name] = numbers_in(table[name])
        frame = table[header.score_names].astype(float)
        other = table.drop(columns=header.score_names)
        return cls(frame, other, header.by_name, header.reading, file, is_ours=True)

    def under(self, names: Iterable[str]) -> Scores:
        """Return the scores of images, in order, under their names as given; the newest row of an image counts."""
        import pandas

        # pandas' own text type refuses names that are not UTF-8
        axis = pandas.Index(list(names), name="path", dtype=object)
        printed = list(map(printable, axis))

        def newest(rows: pandas.DataFrame) -> pandas.DataFrame:
            last_rows = rows[~rows.index.duplicated(keep="last")]
            return last_rows.reindex(printed).set_axis(axis)

        return replace(self, frame=newest(self.frame), other=newest(self.other))


def _filled(texts: pandas.Series) -> dict[str, str]:
    return {str(name): str(text) for name, text in texts.fillna("").items() if text}


def numbers_in(values: pandas.Series) -> pandas.Series:
    """Return cells as numbers; NaN where a cell holds none."""
    import pandas

    return pandas.to_numeric(values if values.dtype.kind in "iuf" else values.map(str), "coerce")
