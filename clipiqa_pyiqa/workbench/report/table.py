"""Tables of a report: cells, columns and what stands around them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from .cell_texts import number

if TYPE_CHECKING:
    import pandas

Mark = Literal["", "best", "second", "gain", "loss", "clear"]
LOOKS: dict[Mark, str] = {"best": "bold", "second": "underlined", "gain": "bold", "loss": "▼", "clear": "bold"}
"""Mark -> how a marked number looks, but on a console."""
MEANINGS: dict[Mark, str] = {
    "best": "best of its column",
    "second": "second best of its column",
    "gain": "improvement beyond chance",
    "loss": "decline beyond chance",
    "clear": "difference beyond chance",
}
DAGGER = "†"
MINUS = " − "
"""Stands between two metrics whose difference a row has."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        detail: Interval and p-value, shown smaller.
        value: The number to sort by; NaN for words.
        has_dagger: Whether ``†`` is shown behind the text.
    """

    text: str
    detail: str = ""
    value: float = math.nan
    mark: Mark = ""
    has_dagger: bool = False

    @property
    def shown(self) -> str:
        """The text, with ``†`` if it has one."""
        return self.text + DAGGER if self.has_dagger else self.text


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes:
        group: Heading over neighbouring columns of a group.
        notes: How to read the column, in sentences.
    """

    name: str
    cells: Sequence[Cell]
    better: Literal["", "higher", "lower"] = ""
    group: str = ""
    notes: Sequence[str] = ()

    @property
    def heading(self) -> str:
        """The name with an arrow that shows the direction."""
        if not self.better:
            return self.name
        arrow = "↓" if self.better == "lower" else "↑"
        return f"{self.name} {arrow}"

    @property
    def title(self) -> str:
        """The heading behind the group's."""
        return f"{self.group} {self.heading}".strip()

    @property
    def is_wordy(self) -> bool:
        """Whether no cell has a number."""
        return all(math.isnan(cell.value) for cell in self.cells)


@dataclass(frozen=True)
class Table:
    """A table with its notes.

    Attributes:
        reasons: Name of a row or column -> why cells are empty, or a remark.
        legend: How to read the table, in sentences.
        dagger_note: What ``†`` means.
        on_console: Sentence that stands on a console in place of a table that is too long for it.
    """

    title: str
    columns: Sequence[TableColumn]
    before: Sequence[str] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    legend: Sequence[str] = ()
    is_heat_map: bool = False
    section: str = ""
    on_console: str = ""
    dagger_note: str = ""

    @property
    def titles(self) -> list[str]:
        return [column.title for column in self.columns]

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        return list(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The headings over columns, each with how many columns it is over; empty without groups."""
        runs = [(name, len(list(run))) for name, run in itertools.groupby(column.group for column in self.columns[1:])]
        return runs if any(name for name, _ in runs) else []

    @property
    def after(self) -> list[str]:
        """The lines below the table: why cells are empty, and remarks."""
        return [f"{name}: {reason}" for name, reason in self.reasons.items()]

    @property
    def notes(self) -> list[str]:
        """The legend, the notes on the columns, and what ``†`` means if a cell has one; each sentence once."""
        notes = [*self.legend, *(note for column in self.columns for note in column.notes)]
        if any(cell.has_dagger for column in self.columns for cell in column.cells):
            notes.append(self.dagger_note)
        return list(dict.fromkeys(notes))

    def note_on_marks(self, looks: Mapping[Mark, str] = MappingProxyType(LOOKS)) -> str:
        """Return what the marks of the table's cells mean; empty without marks.

        Args:
            looks: Mark -> how a marked number looks.
        """
        marks = {cell.mark for column in self.columns for cell in column.cells}
        meanings = [f"{looks[mark]} = {meaning}" for mark, meaning in MEANINGS.items() if mark in marks]
        return f"Marks: {', '.join(meanings)}." if meanings else ""


def word_column(name: str, texts: Iterable[str]) -> TableColumn:
    """Return a column of texts."""
    return TableColumn(name, list(map(Cell, texts)))


def frame_table(frame: pandas.DataFrame, intervals: Collection[str] = (), title: str = "") -> Table:
    """Return a frame as a table, with ``NAME low`` and ``NAME high`` in brackets behind each interval's NAME."""
    texts = frame.map(_text)
    bounds = [f"{name} {end}" for name in intervals for end in ("low", "high")]
    columns = []
    for name in frame.columns.difference(bounds, sort=False):
        details = [""] * len(frame)
        if name in intervals:
            details = list("[" + texts[f"{name} low"] + ", " + texts[f"{name} high"] + "]")
        cells = []
        for value, text, detail in zip(frame[name], texts[name], details, strict=True):
            cells.append(Cell(text, detail, float(value) if isinstance(value, Real) else math.nan))
        columns.append(TableColumn(str(name), cells))
    return Table(title, columns)


def _text(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "–"
    is_tiny = value != 0 and abs(value) < 1e-3
    return f"{value:.1e}" if is_tiny else f"{value:.4f}"


def number_column(name: str, values: Iterable[float], digits: int) -> TableColumn:
    """Return a column of numbers with so many decimals."""
    return TableColumn(name, [Cell(number(value, digits), value=value) for value in values])
