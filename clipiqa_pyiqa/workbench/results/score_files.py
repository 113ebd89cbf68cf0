"""Reading scores from a file of any tool, or from a folder of results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...text import log
from ..files.csv_columns import PATH_COLUMNS, find_column
from ..files.journal import Cells
from ..sources.addresses import address_of, is_remote, joined, suffix_of
from ..sources.stores import exists
from .checks import check_row
from .columns import Column, Record
from .companion_files import RECORD
from .formats import SUFFIXES, format_of
from .header import METRIC, SCALE, Header
from .raw_table import RawTable
from .reading import checked_reading, read_cells, read_header, read_scale_attribute
from .row import NUMBERS
from .scales import read_scales
from .scores import Scores

if TYPE_CHECKING:
    import pandas


def is_score_file(path: FilePath) -> bool:
    """Return whether a path names a file of scores on a disk, or a folder of results of a run on Ray.

    Raises ``ShardError`` if a store cannot be asked.
    """
    address = address_of(path)
    if is_remote(address):
        return not suffix_of(address) and exists(joined(address, RECORD))
    if os.path.isdir(address):
        return may_be_folder_of_rows(address)
    return suffix_of(address) in SUFFIXES


def read_scores(
    path: FilePath,
    *,
    columns: Sequence[str] | None = None,
    key: str | None = None,
) -> Scores:
    """Read the scores in a file of any tool, or in a folder of results of a run on Ray; warn of cells without numbers.

    Args:
        path: A CSV, JSON lines or Parquet file, one row per image; or a folder that ``clipiqa score --engine ray``
            wrote, perhaps in a store.
        columns: The columns of scores; None finds them.
        key: The column of image names; None finds it.
    """
    table = _read_table(path, key)
    numbers = table.chosen_numbers(columns)
    notes = [] if columns else table.notes_on_spoilt_columns()
    for column, numbers_of_column in numbers.items():
        notes += table.notes_on_texts(column, numbers_of_column.isna())
    for note in notes:
        log.warning(note)
    return _scores_in(table, numbers)


def _scores_in(table: RawTable, numbers: Mapping[Any, pandas.Series]) -> Scores:
    """Return the scores in a table: column -> its numbers; all other columns are facts."""
    import pandas

    frame = pandas.DataFrame({str(column): values.astype(float) for column, values in numbers.items()})
    is_ours = bool(table.known) or _looks_like_ours(table.cells)
    written_by_us = [SCALE, METRIC] if is_ours else []
    other = table.cells.drop(columns=[*numbers, *written_by_us], errors="ignore")
    return Scores(frame, other, table.known, table.reading, table.place, is_ours)


def _read_table(path: FilePath, key: str | None) -> RawTable:
    """Return the table in a file of scores, or in a folder of results of a run on Ray."""
    import pandas

    address = address_of(path)
    place = address if is_remote(address) else str(Path(address))
    rows, header = _rows_of_folder(address) if may_be_folder_of_rows(address) else _rows(Path(place))
    if not rows:
        raise CLIPIQAError(f"{place!r} has no rows: score images first.")
    cells = pandas.DataFrame(rows)
    if header is None:
        known = _columns_in_scales(Path(place), cells)
        reading: Record = {}
    else:
        known = header.by_name
        reading = header.reading
        key = key or "path"
    path_column = find_column(place, list(cells.columns), key, PATH_COLUMNS, option="key")
    cells.index = pandas.Index(cells.pop(path_column).map(str), name="path", dtype=object)
    if "" in cells.index:
        raise CLIPIQAError(
            f"{place!r} has a row without a name in the column {path_column!r}: add it, or delete the row."
        )
    return RawTable(place, cells, path_column, known, reading)


def _columns_in_scales(path: Path, cells: pandas.DataFrame) -> dict[str, Column]:
    """Return what the scales in a file without a header tell of its columns. Raises ``CLIPIQAError`` if they differ."""
    try:
        return read_scales(_scales(path, cells))
    except ValueError as error:
        raise CLIPIQAError(f"{str(path)!r} holds scores of several runs ({error}): name a file of one run.") from error


def _looks_like_ours(table: pandas.DataFrame) -> bool:
    """Return whether a table without scales is a copy of results of ours."""
    metrics = table.get(METRIC, ())
    return {METRIC, *NUMBERS}.issubset(table) or any(str(cell).startswith("clipiqa") for cell in metrics)


def _scales(path: Path, table: pandas.DataFrame) -> Iterable[str]:
    """Return texts of the scales in a file without a header: its cells, or what pandas copied from a Parquet file."""
    if SCALE in table or path.suffix.lower() != ".parquet":
        return list(table.get(SCALE, ()))
    return [read_scale_attribute(path)]


def may_be_folder_of_rows(path: FilePath) -> bool:
    """Return whether a path may be a folder of Parquet files that a run on Ray wrote; in a store any folder may be."""
    address = address_of(path)
    return is_remote(address) or os.path.isfile(os.path.join(address, RECORD))


def _rows_of_folder(address: str) -> tuple[list[Cells], Header]:
    """Return the rows and the header of a folder of results of a run on Ray."""
    from .parquet_folder import ParquetFolder  # imports pyarrow

    folder = ParquetFolder(address)
    header = folder.finished_header()
    rows = folder.table().to_pylist()
    with checked_reading(address, "parquet"):
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
