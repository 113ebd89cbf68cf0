"""Published numbers beside the computed numbers of a table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pandas

from ...datasets.specification import CompareError
from ...errors import nearest
from .values import MethodScores

Scores = TypeVar("Scores", bound=MethodScores)
_NOTHING = ("", "-", "–", "—", "n/a", "nan")


def read_expected(given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> pandas.DataFrame:
    """Return published numbers as texts: columns ``test_set``, ``method``, ``metric``, ``published``.

    Args:
        given: CSV files (a row per method, a column per metric, optionally ``test_set``), and texts such as
            ``'ours: psnr=27.92 ssim=0.7835'``.

    Raises:
        CompareError: A file cannot be read, or a value is not a number.
    """
    tables = []
    for each in [given] if isinstance(given, str | os.PathLike) else given:
        line = re.fullmatch(r"([^:]+):((\s*[^\s=]+=\S+)+)\s*", str(each))
        row = dict(pair.split("=", 1) for pair in line[2].split()) if line else {}
        rows = pandas.DataFrame([{"method": line[1], **row}]) if line else _read_csv(Path(each).expanduser())
        rows = rows.apply(lambda column: column.str.strip())
        rows["test_set"] = rows.get("test_set", "")
        cells = rows.set_index(["test_set", "method"]).rename_axis("metric", axis="columns")
        tables.append(cells.stack(future_stack=True).rename("published").reset_index())
    found = pandas.concat(tables, ignore_index=True)
    found = found[~found["published"].str.lower().isin(_NOTHING)]
    for each in found[~found["published"].str.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)")].itertuples():
        raise CompareError(f"{each.metric} of {each.method!r} must be a number; got {each.published!r:.80}.")
    return found


def with_published(found: Scores, published: pandas.DataFrame) -> Scores:
    """Return the table with those published numbers whose names it has, in any case; a note has the other names."""
    names = {"method": found.methods, "metric": found.labels, "test_set": found.test_sets}
    expected, unknown = published.copy(), dict[str, str]()
    for what, known in names.items():
        lower = {name.lower(): name for name in known}
        if what == "test_set" and len(known) == 1:
            lower[""] = known[0]
        expected[what] = published[what].str.lower().map(lower)
        unknown |= {f"{what} {name!r}": nearest(name, known) for name in published[what][expected[what].isna()]}
    expected = expected.dropna()
    if expected.empty:
        first, hint = next(iter(unknown.items()), ("method ''", ""))
        raise CompareError(f"no published number matches the table: {first}: {hint}")
    expected["computed"] = [found.mean(row.test_set, row.metric, row.method) for row in expected.itertuples()]
    lost = [f"Published, but not in this table: {', '.join(unknown)}."] * bool(unknown)
    return replace(found, expected=add_units(expected, "computed"), notes=[*found.notes, *lost])


def add_units(found: pandas.DataFrame, column: str) -> pandas.DataFrame:
    """Return the rows with ``units``, by which ``column`` is above ``published``, and ``agrees``: at most one.

    A unit is one of the last digit that ``published`` has.
    """
    digits = found["published"].str.partition(".")[2].str.len()
    units = (found[column] - found["published"].astype(float)) * 10.0**digits
    return found.assign(units=units, agrees=units.abs() <= 1 + 1e-6)


def _read_csv(path: Path) -> pandas.DataFrame:
    try:
        rows = pandas.read_csv(path, dtype=str, encoding="utf-8-sig", keep_default_na=False).fillna("")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a CSV file with a header and rows"
        raise CompareError(
            f"the published numbers {str(path)!r} cannot be read: {reason}. Give a CSV file, or "
            "'METHOD: LABEL=NUMBER …'."
        ) from error
    rows.columns = rows.columns.str.strip()
    return rows if "method" in rows else rows.rename(columns={rows.columns[0]: "method"})
