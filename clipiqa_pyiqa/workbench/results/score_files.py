"""Reading scores from a file of any tool, or from a folder of results."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...logger import log
from ...text import counted, few, hint_for
from ..files.csv_files import PATH_COLUMNS, find_column
from ..files.journal import Cells
from ..sources.stores import address_of, is_remote
from .checks import check_row
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
    """Return whether a path names a file of scores, or a folder of results of a run on Ray."""
    if not os.path.isdir(path):
        return Path(path).suffix.lower() in SUFFIXES
    return is_folder_of_rows(path) and not is_remote(address_of(path))


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

    address = address_of(path)
    path = Path(path).expanduser()
    rows, header = _rows_of_folder(address) if is_folder_of_rows(address) else _rows(path)
    if not rows:
        raise CLIPIQAError(f"{str(path)!r} has no rows: score images first.")
    table = pandas.DataFrame(rows)
    try:
        known = header.by_name if header else read_scales(_scales(path, table))
    except ValueError as error:
        raise CLIPIQAError(f"{str(path)!r} holds scores of several runs ({error}): name a file of one run.") from error
    key = key or ("path" if header else None)
    path_column = find_column(path, list(table.columns), key, PATH_COLUMNS, option="key")
    table.index = pandas.Index(table.pop(path_column).map(str), name="path", dtype=object)
    if "" in table.index:
        raise CLIPIQAError(
            f"{str(path)!r} has a row without a name in the column {path_column!r}: add it, or delete the row."
        )
    candidates = [column for column in table if str(column).lower().strip() not in _NO_SCORES]
    values = {column: numbers_in(table[column]) for column in columns or candidates if column in table}
    numbers = [column for column in values if column in known or values[column].notna().any()]
    without = [column for column in columns or candidates if column not in numbers]
    if columns and without:
        raise CLIPIQAError(_no_such_numbers(path, without[0], table, candidates))
    spoilt = [_without_numbers(column, table[column]) for column in without if _looks_like_numbers(table[column])]
    if not numbers:
        spoilt = spoilt or [_without_numbers(column, table[column]) for column in without[:1]]
        names = ", ".join(map(str, (path_column, *table.columns)))
        raise CLIPIQAError(
            "; ".join([f"{str(path)!r} has no column of numbers: its columns are {names}", *spoilt]) + "."
        )
    for phrase in spoilt:
        log.warning(f"{str(path)!r}: left out: {phrase}.")
    chosen = columns or [column for column in numbers if column in known] or numbers
    for column in chosen:
        texts = [cell for cell in table[column][values[column].isna()] if isinstance(cell, str) and cell.strip()]
        if texts:
            _warn_of_texts(texts, f"{str(column)!r} in {str(path)!r}")
    frame = pandas.DataFrame({str(column): values[column].astype(float) for column in chosen})
    is_ours = bool(known) or _looks_like_ours(table)
    ours = [SCALE, METRIC] if is_ours else []
    other = table.drop(columns=[*chosen, *ours], errors="ignore")
    return Scores(frame, other, known, header.reading if header else {}, str(path), is_ours)


def _no_such_numbers(path: Path, column: str, table: pandas.DataFrame, candidates: Iterable[Any]) -> str:
    """Return the sentence about a column that is not there, or holds no number."""
    if column in table:
        return f"{str(path)!r}: {_without_numbers(column, table[column])}."
    return f"{str(path)!r} has no numbers called {column!r}: {hint_for(column, map(str, candidates))}"


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


def _warn_of_texts(texts: Sequence[str], where: str) -> None:
    """Log the cells of a column of scores that hold no number."""
    has_comma = any(re.fullmatch(r"\s*[+-]?\d+,\d+\s*", text) for text in texts)
    remedy = "; a decimal comma must be a point, and a comma between thousands left out" if has_comma else ""
    log.warning(
        f"no number, so missing: {counted(len(texts), 'score')} of {where} ({few(dict.fromkeys(texts))}{remedy})."
    )


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
    from .parquet_folder import ParquetFolder  # imports pyarrow

    folder = ParquetFolder(address)
    header = folder.finished_header()
    rows = folder.table().to_pylist()
    with checked_reading(Path(address), "parquet"):
        for row in rows:
            check_row(row, header.scores)
    return rows, header


def _rows(path: Path) -> tuple[list[Cells], Header | None]:
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
