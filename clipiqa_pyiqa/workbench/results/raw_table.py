"""A table in a file of any tool: which of its columns hold scores, and what in them is no number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...errors import CLIPIQAError
from ...text import counted, few, hint_for
from .columns import Column, Record
from .header import METRIC, SCALE
from .row import FIELDS
from .scores import numbers_in

if TYPE_CHECKING:
    import pandas

_NO_SCORES = {*FIELDS, METRIC, SCALE, "index", "id", "", "rank", "n", "split", "unnamed: 0"}


@dataclass(frozen=True)
class RawTable:
    """A table in a file of scores, before columns are chosen.

    Attributes:
        cells: The cells as they are in the file; the index holds image names.
        path_column: The column that held the image names.
        known: Column of scores -> what the file says of it.
        reading: How images were read.
    """

    place: str
    cells: pandas.DataFrame
    path_column: str
    known: Mapping[str, Column]
    reading: Record

    @property
    def candidates(self) -> list[Any]:
        """The columns that may hold scores, by their names."""
        return [column for column in self.cells if str(column).lower().strip() not in _NO_SCORES]

    def chosen_numbers(self, columns: Sequence[str] | None) -> dict[Any, pandas.Series]:
        """Return column -> its numbers (NaN: none), of the columns asked for; None chooses all of scores.

        Raises ``CLIPIQAError`` if a column that was asked for holds no number, or if no column holds one.
        """
        if columns:
            return self._asked_numbers(columns)
        numbers = self._numbers_of_candidates
        if not numbers:
            raise CLIPIQAError(self._no_numbers())
        return {column: values for column, values in numbers.items() if column in self.known} or numbers

    def _asked_numbers(self, columns: Sequence[str]) -> dict[Any, pandas.Series]:
        numbers = self._columns_with_numbers(columns)
        for column in columns:
            if column not in numbers:
                raise CLIPIQAError(self._no_such_numbers(column))
        return numbers

    @cached_property
    def _numbers_of_candidates(self) -> dict[Any, pandas.Series]:
        return self._columns_with_numbers(self.candidates)

    def _columns_with_numbers(self, columns: Iterable[Any]) -> dict[Any, pandas.Series]:
        numbers = {column: numbers_in(self.cells[column]) for column in columns if column in self.cells}
        return {column: values for column, values in numbers.items() if column in self.known or values.notna().any()}

    def _spoilt_columns(self) -> list[Any]:
        """Return the columns whose cells look like numbers, but are none, as they have commas or signs of percent."""
        without = [column for column in self.candidates if column not in self._numbers_of_candidates]
        return [column for column in without if _looks_like_numbers(self.cells[column])]

    def notes_on_spoilt_columns(self) -> list[str]:
        """Return a sentence on each column that looks like numbers and is left out."""
        phrases = [_without_numbers(column, self.cells[column]) for column in self._spoilt_columns()]
        return [f"{self.place!r}: left out: {phrase}." for phrase in phrases]

    def notes_on_texts(self, column: Any, is_missing: pandas.Series) -> list[str]:
        """Return a sentence on the texts in a column of scores, among those cells that hold no number, if any."""
        texts = [cell for cell in self.cells[column][is_missing] if isinstance(cell, str) and cell.strip()]
        if not texts:
            return []
        has_comma = any(re.fullmatch(r"\s*[+-]?\d+,\d+\s*", text) for text in texts)
        remedy = "; a decimal comma must be a point, and a comma between thousands left out" if has_comma else ""
        return [
            f"no number, so missing: {counted(len(texts), 'score')} of {str(column)!r} in {self.place!r} "
            f"({few(dict.fromkeys(texts))}{remedy})."
        ]

    def _no_such_numbers(self, column: str) -> str:
        """Return the sentence about a column that is not there, or holds no number."""
        if column in self.cells:
            return f"{self.place!r}: {_without_numbers(column, self.cells[column])}."
        return f"{self.place!r} has no numbers called {column!r}: {hint_for(column, map(str, self.candidates))}"

    def _no_numbers(self) -> str:
        """Return the sentence about a file in which no column holds a number."""
        names = ", ".join(map(str, (self.path_column, *self.cells.columns)))
        examples = self._spoilt_columns() or self.candidates[:1]
        phrases = [_without_numbers(column, self.cells[column]) for column in examples]
        return "; ".join([f"{self.place!r} has no column of numbers: its columns are {names}", *phrases]) + "."


def _without_numbers(column: str, cells: pandas.Series) -> str:
    """Return a phrase about a column whose cells hold no number."""
    texts = dict.fromkeys(str(cell) for cell in cells if str(cell).strip())
    return (
        f"the column {str(column)!r} holds no number ({few(texts) or 'its cells are empty'}): write numbers as 1234.5, "
        "without a comma or a percent sign"
    )


def _looks_like_numbers(cells: pandas.Series) -> bool:
    """Return whether all cells that are not empty have digits beside a comma or a percent sign."""
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    return bool(texts) and all(re.fullmatch(r"[+-]?\d[\d.,]*\s*%?", text) for text in texts)
