"""The header of a result file: its columns, how images were read, and which values were joined."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ...text import twice_in
from .checks import check_header
from .columns import (
    Changes,
    Column,
    Record,
    changes,
    column_changes,
    differs_only_by_building,
)
from .record_text import metric_line, shared_and_own
from .results_error import ResultsError
from .row import FIELDS
from .scales import short_scale_text

SCALE = "scale"
"""A column of a CSV file, equal in every row: the meaning of the scores. In other files, only the header has it."""
METRIC = "metric"
"""The last column of a result file, equal in every row: what made the scores."""


@dataclass(frozen=True)
class Header:
    """What a result file says of all its rows.

    Attributes:
        reading: How all images were read.
        joined: Column of other values -> hash of the values; empty if they come with the images.
    """

    columns: tuple[Column, ...]
    reading: Record = field(default_factory=dict)
    joined: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        carried_columns = dict.fromkeys(self.carried.values(), "")
        object.__setattr__(self, "joined", {**carried_columns, **self.joined})
        name = twice_in(self.names)
        if name:
            raise ResultsError(f"a score cannot be called {name!r}, because another column has this name.")

    @cached_property
    def score_names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def with_columns(self, columns: Iterable[Column], **fields: Any) -> Header:
        """Return the header with these columns; each replaces one of its name, or comes last."""
        by_name = self.by_name | {column.name: column for column in columns}
        return replace(self, columns=tuple(by_name.values()), **fields)

    def with_scored_columns(self, before: Header) -> Header:
        """Return the header with an earlier run's columns where the same metric could not be built now.

        The earlier scores are kept, and so is what tells how they were made.
        """
        earlier_columns = [before.by_name.get(column.name, column) for column in self.columns]
        pairs = zip(self.columns, earlier_columns, strict=True)
        return self.with_columns(earlier for column, earlier in pairs if differs_only_by_building(column, earlier))

    @property
    def row_names(self) -> list[str]:
        """The columns whose cells differ from row to row."""
        return ["path", *self.score_names, *FIELDS, *self.joined]

    @property
    def names(self) -> list[str]:
        """All columns of a CSV file; the last two are those of ``constants``."""
        return [*self.row_names, SCALE, METRIC]

    @cached_property
    def carried(self) -> dict[str, str]:
        """Value that images bring -> its column, as the option ``keep`` names them."""
        names_in_use = {"path", *self.score_names, *FIELDS, SCALE, METRIC}
        return {name: f"kept_{name}" if name in names_in_use else name for name in self.reading.get("keep", ())}

    @property
    def constants(self) -> dict[str, str]:
        """The cells that are equal in every row of a file without a header, or whose header may get lost."""
        return {SCALE: short_scale_text(self.columns), METRIC: metric_line(self.columns)}

    @property
    def constants_beside_header(self) -> dict[str, str]:
        """The cells that are equal in every row of a JSON lines or Parquet file."""
        return {METRIC: metric_line(self.columns)}

    @property
    def record(self) -> dict[str, Any]:
        # with lists instead of tuples, to be equal to a header that is read from a file
        record = {
            "columns": {column.name: column.record for column in self.columns},
            "reading": self.reading,
            "joined": self.joined,
        }
        return dict(json.loads(json.dumps(record, default=dict)))

    @property
    def provenance(self) -> dict[str, Any]:
        """What all scores share, how images were read, and ``scores``: column -> other fields of its record."""
        shared, of_columns = shared_and_own(self.columns)
        return {**shared, **self.reading, "scores": of_columns}

    @classmethod
    def of(cls, record: Any) -> Header:
        """Return the header with this record. Raises ``ValueError`` if the record is not that of a header."""
        check_header(record)
        columns = tuple(Column(name, fields) for name, fields in record["columns"].items())
        return cls(columns, record["reading"], record["joined"])


def header_changes(before: Header, now: Header) -> Changes:
    """Return :func:`changes` of reading, and of the columns whose origin both headers record."""
    earlier = before.by_name
    differing = changes(before.reading, now.reading)
    for column in now.columns:
        was = earlier.get(column.name, column)
        if not column.fingerprint or was.is_broken:
            continue
        if not differs_only_by_building(was, column) and not differs_only_by_building(column, was):
            differing += column_changes(was, column)
    return differing
