"""Published numbers beside computed ones: the numbers of a source, matched to a table, and whether they agree."""

import os
from dataclasses import replace

from pandas import DataFrame, Series, concat, to_numeric

from ...errors import CLIPIQAError
from ...text import few, first_of, hint_for
from .expected import Expected, decimals, is_earlier_table
from .method_images import MethodImages
from .method_table import MethodTable


def published_numbers(expected: Expected, images: MethodImages) -> DataFrame | None:
    """Return published numbers; None if there are only earlier tables.

    The columns are ``test_set``, ``method``, ``averaged`` (whether it is the mean of the source's numbers of
    images), ``metric``, ``published`` (as text).
    """
    sources = [rows for rows in expected.values() if not is_earlier_table(rows)]
    tables = [_long_table(rows, images) for rows in sources]
    if any(map(len, tables)):
        return _checked(concat(tables, ignore_index=True))
    if len(sources) < len(expected):
        return None
    raise CLIPIQAError(
        "no published number is given: name a CSV file in `expect`, with commas between its columns, or "
        "'METHOD: LABEL=NUMBER …'.",
        options=("expect",),
    )


def _long_table(rows: DataFrame, images: MethodImages) -> DataFrame:
    """Return a row for each published number of a source, whose rows have a column per metric."""
    rows = rows.apply(lambda column: column.str.strip())
    is_averaged = "image" in rows
    if is_averaged:
        rows = _means(rows, images)
    rows = rows.assign(test_set=rows.get("test_set", ""), averaged=is_averaged)
    return rows.melt(["test_set", "method", "averaged"], var_name="metric", value_name="published")


def _checked(published: DataFrame) -> DataFrame:
    """Return published numbers with ``–`` for missing ones. Raises ``CLIPIQAError`` for other texts."""
    is_missing = published["published"].str.lower().isin(["", "-", "–", "—", "n/a", "nan"])
    published = published.assign(published=published["published"].mask(is_missing, "–"))
    no_numbers = published[~published["published"].str.fullmatch(r"–|[+-]?(\d+\.?\d*|\.\d+)")]
    if len(no_numbers):
        cell = next(no_numbers.itertuples())
        raise CLIPIQAError(
            f"{cell.metric} of {cell.method!r} must be a number, as in a table with a column per metric; got "
            f"{cell.published!r:.80}."
        )
    return published


def with_published(method_table: MethodTable, published: DataFrame) -> MethodTable:
    """Return the table with the published numbers of its methods, metrics and test sets, and the names of others."""
    labels = [*method_table.metrics, *method_table.protocol.not_computed]
    expected = published.copy()
    names_of_table = {"method": method_table.methods, "metric": labels, "test_set": method_table.test_sets}
    has_number = published["published"] != "–"
    unknown = list[str]()
    for column, names in names_of_table.items():
        name_of = {name.lower(): name for name in names}
        if len(names) == 1:  # it may be left out
            name_of[""] = names[0]
        expected[column] = published[column].str.lower().map(name_of)
        unmatched = published[column][expected[column].isna() & has_number].unique()
        unknown += [f"{column} {name!r}: {hint_for(name, names)}" for name in unmatched]
    expected = expected[expected["metric"].isin(method_table.metrics)].dropna()
    unknown_in_words = first_of(unknown, 5)
    if expected.empty:
        reason = unknown_in_words or "none is of its metrics and methods"
        raise CLIPIQAError(f"no published number matches the table: {reason}")
    expected["computed"] = [method_table.mean(row.test_set, row.metric, row.method) for row in expected.itertuples()]
    return replace(method_table, expected=add_units(expected, "computed"), unknown=unknown_in_words)


def add_units(rows: DataFrame, column: str) -> DataFrame:
    """Return the rows with ``units`` (``column`` minus ``published``) and ``agrees`` (at most one unit apart).

    One unit is 1 in the last digit of ``published``. ``agrees`` is NaN without a published number.
    """
    numbers = to_numeric(rows["published"], "coerce")
    digits = rows["published"].map(decimals).astype(float)
    units = (rows[column] - numbers) * 10.0**digits
    return rows.assign(units=units, agrees=(units.abs() <= 1 + 1e-6).astype(object).where(numbers.notna()))


def _means(rows: DataFrame, images: MethodImages) -> DataFrame:
    """Return the means of each method's numbers of images, over the images of the table or of the row's test set."""
    keys = [column for column in ("test_set", "method") if column in rows]
    names_of_rows = rows["image"].map(lambda name: os.path.splitext(name)[0])
    rows = rows.drop(columns="image").set_axis(names_of_rows)
    if not keys:
        return _means_of_images(rows, list(images.files.index)).assign(method="")
    means = []
    for values, of_method in rows.groupby(keys, sort=False):
        labels = dict(zip(keys, values, strict=True))
        test_set = labels.get("test_set", "")
        names = [name for name in images.files.index if test_set in ("", images.test_sets[name])]
        if names:
            means.append(_means_of_images(of_method.drop(columns=keys), names).assign(**labels))
    return concat(means, ignore_index=True) if means else DataFrame(columns=rows.columns)


def _means_of_images(rows: DataFrame, names: list[str]) -> DataFrame:
    """Return a row with the means over some images; raise CLIPIQAError if one has no row."""
    lacking = [name for name in names if name not in rows.index]
    if lacking:
        raise CLIPIQAError(f"there are no published numbers of {few(lacking)}: leave these images out of the table.")
    return rows.loc[names].agg(_mean_text).to_frame().T


def _mean_text(column: Series) -> str:
    """Return the mean of numbers given as texts, with as many decimals; the first text that is no number, if some are.

    It is ``'nan'`` for a column without numbers, such as one of hashes.
    """
    numbers = to_numeric(column, errors="coerce")
    digits = column.str.partition(".")[2].str.len().max()
    other_texts = column[numbers.isna()]
    if 0 < len(other_texts) < len(column):
        return str(other_texts.iloc[0])
    return f"{numbers.mean():.{digits}f}"
