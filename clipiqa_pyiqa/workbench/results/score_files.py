"""Reading scores from a file of any tool, or from a folder of results."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...logger import log
from ...text import counted, few, hint_for
from ..files.csv_columns import PATH_COLUMNS, find_column
from ..files.journal import Cells
from ..sources.addresses import address_of, is_remote, joined, suffix_of
from ..sources.stores import exists
from .checks import check_row
from .columns import Column, Record
from .formats import RECORD, SUFFIXES, format_of
from .header import METRIC, SCALE, Header
from .reading import checked_reading, read_cells, read_header, read_scale_attribute
from .row import FIELDS, NUMBERS
from .scales import read_scales
from .scores import Scores, numbers_in

if TYPE_CHECKING:
    import pandas

_NO_SCORES = {*FIELDS, METRIC, SCALE, "index", "id", "", "rank", "n", "split", "unnamed: 0"}


def is_score_file(path: FilePath) -> bool:
    """Return whether a path names a file of scores on a disk, or a folder of results of a run on Ray.

    Raises ``ShardError`` if a store cannot be asked.
    """
    address = address_of(path)
    if is_remote(address):
        return not suffix_of(address) and exists(joined(address, RECORD))
    if os.path.isdir(address):
        return is_folder_of_rows(address)
    return suffix_of(address) in SUFFIXES


def read_scores(
    path: FilePath,
    *,
    columns: Sequence[str] | None = None,
    key: str | None = None,
) -> Scores:
    """Return the scores in a file of any tool, or in a folder of results of a run on Ray.

    Args:
        path: A CSV, JSON lines or Parquet file, one row per image; or a folder that ``clipiqa score --engine ray``
            wrote, perhaps in a store.
        columns: The columns of scores; None finds them.
        key: The column of image names; None finds it.
    """
    import pandas

    table = _read_table(path, key)
    numbers = table.chosen_numbers(columns)
    if not columns:
        table.warn_of_spoilt_columns()
    for column, values in numbers.items():
        table.warn_of_texts(column, values.isna())
    frame = pandas.DataFrame({str(column): values.astype(float) for column, values in numbers.items()})
    is_ours = bool(table.known) or _looks_like_ours(table.cells)
    written_by_us = [SCALE, METRIC] if is_ours else []
    other = table.cells.drop(columns=[*numbers, *written_by_us], errors="ignore")
    return Scores(frame, other, table.known, table.reading, str(table.path), is_ours)


def _read_table(path: FilePath, key: str | None) -> _TableOfScores:
    """Return the table in a file of scores, or in a folder of results of a run on Ray."""
    import pandas

    address = address_of(path)
    path = Path(path).expanduser()
    rows, header = _rows_of_folder(address) if is_folder_of_rows(address) else _rows(path)
    if not rows:
        raise CLIPIQAError(f"{str(path)!r} has no rows: score images first.")
    cells = pandas.DataFrame(rows)
    try:
        known = header.by_name if header else read_scales(_scales(path, cells))
    except ValueError as error:
        raise CLIPIQAError(f"{str(path)!r} holds scores of several runs ({error}): name a file of one run.") from error
    key = key or ("path" if header else None)
    path_column = find_column(path, list(cells.columns), key, PATH_COLUMNS, option="key")
    cells.index = pandas.Index(cells.pop(path_column).map(str), name="path", dtype=object)
    if "" in cells.index:
        raise CLIPIQAError(
            f"{str(path)!r} has a row without a name in the column {path_column!r}: add it, or delete the row."
        )
    return _TableOfScores(path, cells, path_column, known, header.reading if header else {})


@dataclass(frozen=True)
class _TableOfScores:
    """A table in a file of scores, before columns are chosen.

    Attributes:
        cells: The cells as they are in the file; the index holds image names.
        path_column: The column that held the image names.
        known: Column of scores -> what the file says of it.
        reading: How images were read.
    """

    path: Path
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

    def warn_of_spoilt_columns(self) -> None:
        """Log the columns that look like numbers and are left out."""
        for column in self._spoilt_columns():
            log.warning(f"{str(self.path)!r}: left out: {_without_numbers(column, self.cells[column])}.")

    def warn_of_texts(self, column: Any, is_missing: pandas.Series) -> None:
        """Log the texts in a column of scores, among those cells that hold no number."""
        texts = [cell for cell in self.cells[column][is_missing] if isinstance(cell, str) and cell.strip()]
        if not texts:
            return
        has_comma = any(re.fullmatch(r"\s*[+-]?\d+,\d+\s*", text) for text in texts)
        remedy = "; a decimal comma must be a point, and a comma between thousands left out" if has_comma else ""
        log.warning(
            f"no number, so missing: {counted(len(texts), 'score')} of {str(column)!r} in {str(self.path)!r} "
            f"({few(dict.fromkeys(texts))}{remedy})."
        )

    def _no_such_numbers(self, column: str) -> str:
        """Return the sentence about a column that is not there, or holds no number."""
        if column in self.cells:
            return f"{str(self.path)!r}: {_without_numbers(column, self.cells[column])}."
        return f"{str(self.path)!r} has no numbers called {column!r}: {hint_for(column, map(str, self.candidates))}"

    def _no_numbers(self) -> str:
        """Return the sentence about a file in which no column holds a number."""
        names = ", ".join(map(str, (self.path_column, *self.cells.columns)))
        examples = self._spoilt_columns() or self.candidates[:1]
        phrases = [_without_numbers(column, self.cells[column]) for column in examples]
        return "; ".join([f"{str(self.path)!r} has no column of numbers: its columns are {names}", *phrases]) + "."


def _without_numbers(column: str, cells: pandas.Series) -> str:
    """Return a phrase about a column whose cells hold no number."""
    texts = dict.fromkeys(str(cell) for cell in cells if str(cell).strip())
    return (
        f"the column {str(column)!r} holds no number ({few(texts) or 'its cells are empty'}): write numbers as 1234.5, "
        "without a comma or a sign of percent"
    )


def _looks_like_numbers(cells: pandas.Series) -> bool:
    """Return whether all cells that are not empty have digits beside a comma or a sign of percent."""
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    return bool(texts) and all(re.fullmatch(r"[+-]?\d[\d.,]*\s*%?", text) for text in texts)


def _looks_like_ours(table: pandas.DataFrame) -> bool:
    """Return whether a table without scales is a copy of results of ours."""
    metrics = table.get(METRIC, ())
    return {METRIC, *NUMBERS}.issubset(table) or any(str(cell).startswith("clipiqa") for cell in metrics)


def _scales(path: Path, table: pandas.DataFrame) -> Iterable[str]:
    """Return texts of the scales in a file without a header: its cells, or what pandas copied from a Parquet file."""
    if SCALE in table or path.suffix.lower() != ".parquet":
        return list(table.get(SCALE, ()))
    return [read_scale_attribute(path)]


def is_folder_of_rows(path: FilePath) -> bool:
    """Return whether a path may be a folder of Parquet files that a run on Ray wrote; in a store any folder may be."""
    address = address_of(path)
    return is_remote(address) or os.path.isfile(os.path.join(address, RECORD))


def _rows_of_folder(address: str) -> tuple[list[Cells], Header]:
    """Return the rows and the header of a folder of results of a run on Ray."""
    from .parquet_folder import ParquetFolder  # imports pyarrow

    folder = ParquetFolder(address)
    header = folder.finished_header()
    rows = folder.table().to_pylist()
    with checked_reading(Path(address), "parquet"):
        for row in rows:
            check_row(row, header.score_names)
    return rows, header


def _rows(path: Path) -> tuple[list[Cells], Header | None]:
    """Return the rows of a file, and its header if it is one of ours."""
    if not path.suffix and not path.exists():
        raise CLIPIQAError(f"{str(path)!r} does not exist: name a file of scores.")
    format = format_of(path)
    with checked_reading(path, format):
        damage = list[str]()
        header = read_header(path, format)
        rows = list(read_cells(path, format, damage))
        if damage:
            raise ValueError(f"it is damaged: {damage[0]}")
        return rows, header
