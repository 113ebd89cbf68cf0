"""Published numbers and earlier tables beside a computed one."""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pandas import DataFrame, Series, concat, to_numeric

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...logger import log
from ...text import few, first_of, nearest
from ..files.csv_files import read_rows
from .method_images import MethodImages
from .method_table import MethodTable

_CELL = ["test_set", "method", "image"]


def read_expected(
    given: FilePath | Iterable[FilePath], images: MethodImages
) -> tuple[DataFrame | None, dict[Path, DataFrame]]:
    """Return published numbers, and the rows of earlier tables' files ``images.csv``.

    Published numbers have the columns ``test_set``, ``method``, ``averaged``, ``metric``, ``published`` (as text).

    Args:
        given: CSV files (a row per method, or per image with a column ``image``; a column per metric, optionally
            ``test_set``), texts such as ``'ours: psnr=27.92 ssim=0.7835'``, and ``images.csv`` of earlier tables.
    """
    tables = []
    sources = [given] if isinstance(given, str | os.PathLike) else given
    earlier = {}
    for each in sources:
        line = re.fullmatch(r"([^:]+):(\s*[^\s=]+=\S+(?:\s+[^\s=]+=\S+)*)\s*", str(each))
        path = Path(each).expanduser()
        if line:
            rows = DataFrame([{"method": line[1], **dict(pair.split("=", 1) for pair in line[2].split())}])
        else:
            rows = _read_csv(path)
        if {*_CELL, "sha256"} <= {*rows}:
            sets = path.with_name("sets.csv")
            earlier[path] = concat([rows, *map(_read_csv, [sets] if sets.exists() else [])])
            continue
        rows = rows.apply(lambda column: column.str.strip())
        is_averaged = "image" in rows
        if is_averaged:
            rows = _means(rows, images)
        rows = rows.assign(test_set=rows.get("test_set", ""), averaged=is_averaged)
        tables.append(rows.melt(["test_set", "method", "averaged"], var_name="metric", value_name="published"))
    if not any(map(len, tables)):
        if not earlier:
            raise CLIPIQAError(
                "no published number is given: name a CSV file in `{expect}`, with commas between its columns, or "
                "'METHOD: LABEL=NUMBER …'.",
                options=("expect",),
            )
        return None, earlier
    found = concat(tables, ignore_index=True)
    is_missing = found["published"].str.lower().isin(["", "-", "–", "—", "n/a", "nan"])
    found["published"] = found["published"].mask(is_missing, "–")
    no_numbers = found[~found["published"].str.fullmatch(r"–|[+-]?(\d+\.?\d*|\.\d+)")]
    if len(no_numbers):
        each = next(no_numbers.itertuples())
        raise CLIPIQAError(
            f"{each.metric} of {each.method!r} must be a number, as in a table with a column per metric; got "
            f"{each.published!r:.80}."
        )
    return found, earlier


def with_published(found: MethodTable, published: DataFrame) -> MethodTable:
    """Return the table with the published numbers of its methods, metrics and test sets, and the names of others."""
    labels = [*found.columns, *found.protocol.not_computed]
    expected = published.copy()
    unknown = list[str]()
    for what, known in {"method": found.methods, "metric": labels, "test_set": found.test_sets}.items():
        lower = {name.lower(): name for name in known}
        if len(known) == 1:
            lower[""] = known[0]
        expected[what] = published[what].str.lower().map(lower)
        lost = published[what][expected[what].isna() & (published["published"] != "–")].unique()
        unknown += [f"{what} {name!r}: {nearest(name, known)}" for name in lost]
    expected = expected[expected["metric"].isin(found.columns)].dropna()
    lost = first_of(unknown, 5)
    if expected.empty:
        raise CLIPIQAError(f"no published number matches the table: {lost or 'none is of its metrics and methods'}")
    expected["computed"] = [found.mean(row.test_set, row.metric, row.method) for row in expected.itertuples()]
    if lost:
        log.warning(f"published, but not in this table: {lost}")
    return replace(found, expected=add_units(expected, "computed"), unknown=lost)


def add_units(found: DataFrame, column: str) -> DataFrame:
    """Return the rows with ``units`` (``column`` minus ``published``) and ``agrees`` (at most one unit apart).

    One unit is 1 in the last digit of ``published``. ``agrees`` is NaN without a published number.
    """
    numbers = to_numeric(found["published"], "coerce")
    digits = found["published"].map(decimals).astype(float)
    units = (found[column] - numbers) * 10.0**digits
    return found.assign(units=units, agrees=(units.abs() <= 1 + 1e-6).astype(object).where(numbers.notna()))


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
