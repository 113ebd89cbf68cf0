"""What a table is expected to show: published numbers and earlier tables, as their files have them."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pandas import DataFrame, concat

from ...checks import FilePath
from ...errors import CLIPIQAError
from ..files.csv_files import read_rows

Expected = Mapping[FilePath, DataFrame]
"""A source of published numbers, or a file ``images.csv`` of an earlier table -> its rows, whose cells are texts."""

_CELL = ["test_set", "method", "image"]


def earlier_tables(expected: Expected) -> dict[Path, DataFrame]:
    """Return file ``images.csv`` of an earlier table -> its rows, then those of ``sets.csv`` beside it."""
    earlier = {}
    for source, rows in expected.items():
        if is_earlier_table(rows):
            path = Path(source).expanduser()
            sets = path.with_name("sets.csv")
            earlier[path] = concat([rows, _read_csv(sets)]) if sets.exists() else rows
    return earlier


def read_expected(sources: FilePath | Iterable[FilePath]) -> Expected:
    """Return the rows of each source.

    Args:
        sources: CSV files (a row per method, or per image with a column ``image``; a column per metric, optionally
            ``test_set``), texts such as ``'ours: psnr=27.92 ssim=0.7835'``, and ``images.csv`` of earlier tables.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    rows_by_source = dict[FilePath, DataFrame]()
    for source in sources:
        line = re.fullmatch(r"([^:]+):(\s*[^\s=]+=\S+(?:\s+[^\s=]+=\S+)*)\s*", str(source))
        if line:
            numbers = dict(pair.split("=", 1) for pair in line[2].split())
            rows_by_source[source] = DataFrame([{"method": line[1], **numbers}])
        else:
            rows_by_source[source] = _read_csv(Path(source).expanduser())
    return rows_by_source


def is_earlier_table(rows: DataFrame) -> bool:
    """Return whether rows are those of ``images.csv`` of an earlier table."""
    return {*_CELL, "sha256"} <= {*rows}


def decimals(number: str) -> int:
    """Return how many digits a number, given as text, has after its point."""
    return len(number.partition(".")[2])


def _read_csv(path: Path) -> DataFrame:
    try:
        rows = DataFrame([row for _, row in read_rows(path)[0]])
    except CLIPIQAError as error:
        raise CLIPIQAError(f"{error} Give a CSV file of published numbers, or 'METHOD: LABEL=NUMBER …'.") from error
    rows.columns = rows.columns.str.strip()
    return rows if {"method", "image"} & {*rows} else rows.rename(columns={rows.columns[0]: "method"})
