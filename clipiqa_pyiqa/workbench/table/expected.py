"""Published numbers and earlier tables beside a computed one."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pandas import DataFrame, Series, concat, to_numeric

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...text import few, first_of, hint_for
from ..files.csv_files import read_rows
from .method_images import MethodImages
from .method_table import MethodTable

Expected = Mapping[FilePath, DataFrame]
"""A source of published numbers, or a file ``images.csv`` of an earlier table -> its rows, whose cells are texts."""

_CELL = ["test_set", "method", "image"]


def published_numbers(expected: Expected, images: MethodImages) -> DataFrame | None:
    """Return published numbers; None if there are only earlier tables.

    The columns are ``test_set``, ``method``, ``averaged``, ``metric``, ``published`` (as text).
    """
    tables = []
    has_earlier_table = False
    for rows in expected.values():
        if _are_of_table(rows):
            has_earlier_table = True
            continue
        rows = rows.apply(lambda column: column.str.strip())
        is_averaged = "image" in rows
        if is_averaged:
            rows = _means(rows, images)
        rows = rows.assign(test_set=rows.get("test_set", ""), averaged=is_averaged)
        tables.append(rows.melt(["test_set", "method", "averaged"], var_name="metric", value_name="published"))
    if not any(map(len, tables)):
        if not has_earlier_table:
            raise CLIPIQAError(
                "no published number is given: name a CSV file in `{expect}`, with commas between its columns, or "
                "'METHOD: LABEL=NUMBER …'.",
                options=("expect",),
            )
        return None
    published = concat(tables, ignore_index=True)
    is_missing = published["published"].str.lower().isin(["", "-", "–", "—", "n/a", "nan"])
    published["published"] = published["published"].mask(is_missing, "–")
    no_numbers = published[~published["published"].str.fullmatch(r"–|[+-]?(\d+\.?\d*|\.\d+)")]
    if len(no_numbers):
        cell = next(no_numbers.itertuples())
        raise CLIPIQAError(
            f"{cell.metric} of {cell.method!r} must be a number, as in a table with a column per metric; got "
            f"{cell.published!r:.80}."
        )
    return published


def earlier_tables(expected: Expected) -> dict[Path, DataFrame]:
    """Return file ``images.csv`` of an earlier table -> its rows, then those of ``sets.csv`` beside it."""
    earlier = {}
    for source, rows in expected.items():
        if _are_of_table(rows):
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


def _are_of_table(rows: DataFrame) -> bool:
    """Return whether rows are those of ``images.csv`` of an earlier table."""
    return {*_CELL, "sha256"} <= {*rows}


def with_published(method_table: MethodTable, published: DataFrame) -> MethodTable:
    """Return the table with the published numbers of its methods, metrics and test sets, and the names of others."""
    labels = [*method_table.metrics, *method_table.protocol.not_computed]
    expected = published.copy()
    unknown = list[str]()
    for what, known in {"method": method_table.methods, "metric": labels, "test_set": method_table.test_sets}.items():
        lower = {name.lower(): name for name in known}
        if len(known) == 1:
            lower[""] = known[0]
        expected[what] = published[what].str.lower().map(lower)
        unmatched = published[what][expected[what].isna() & (published["published"] != "–")].unique()
        unknown += [f"{what} {name!r}: {hint_for(name, known)}" for name in unmatched]
    expected = expected[expected["metric"].isin(method_table.metrics)].dropna()
    lost = first_of(unknown, 5)
    if expected.empty:
        raise CLIPIQAError(f"no published number matches the table: {lost or 'none is of its metrics and methods'}")
    expected["computed"] = [method_table.mean(row.test_set, row.metric, row.method) for row in expected.itertuples()]
    return replace(method_table, expected=add_units(expected, "computed"), unknown=lost)


def add_units(rows: DataFrame, column: str) -> DataFrame:
    """Return the rows with ``units`` (``column`` minus ``published``) and ``agrees`` (at most one unit apart).

    One unit is 1 in the last digit of ``published``. ``agrees`` is NaN without a published number.
    """
    numbers = to_numeric(rows["published"], "coerce")
    digits = rows["published"].map(decimals).astype(float)
    units = (rows[column] - numbers) * 10.0**digits
    return rows.assign(units=units, agrees=(units.abs() <= 1 + 1e-6).astype(object).where(numbers.notna()))


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


def _means(rows: DataFrame, images: MethodImages) -> DataFrame:
    """Return the means of the numbers of images, over the images of the table."""
    names = images.files.index
    rows.index = rows.pop("image").map(lambda name: os.path.splitext(name)[0])
    if lacking := [name for name in names if name not in rows.index]:
        raise CLIPIQAError(f"there are no published numbers of {few(lacking)}: leave these images out of the table.")

    def mean(column: Series) -> str:  # 'nan' for a column of hashes
        numbers = to_numeric(column, errors="coerce")
        digits = column.str.partition(".")[2].str.len().max()
        odd = column[numbers.isna()]
        return str(odd.iloc[0]) if 0 < len(odd) < len(column) else f"{numbers.mean():.{digits}f}"

    rows = rows.loc[names].assign(method=rows.get("method", ""))
    return rows.groupby("method", sort=False).agg(mean).reset_index()
