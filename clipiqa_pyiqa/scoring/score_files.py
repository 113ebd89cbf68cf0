"""Score files that any tool made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets.csv_files import PATH_COLUMNS, find_column
from ..errors import CLIPIQAError, nearest
from .result_files import format_of, journal_of, read_rows_of, unfinished
from .rows import FIELDS, METRIC
from .scale import SCALE, Scale, read_scales, scales_of

if TYPE_CHECKING:
    import pandas

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
_NO_SCORES = {*FIELDS, METRIC, "index", "id", "", "rank", "n", "split", "unnamed: 0"}


class ScoresError(CLIPIQAError):
    """A file of scores that cannot be used."""


@dataclass(frozen=True)
class AnyScores:
    """The content of a score file.

    Attributes:
        frame: One column per score; a missing score is NaN. The index holds image names, which may repeat.
        provenance: How the scores were made, if known.
        errors: Image name -> why its scores are missing.
        other: The other columns, with the same index.
        scales: Score column -> the meaning of its values.
        ours: Whether ``clipiqa score`` made the file.
    """

    file: str
    frame: pandas.DataFrame
    provenance: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    other: pandas.DataFrame | None = None
    scales: Mapping[str, Scale] = field(default_factory=dict)
    ours: bool = False

    @property
    def flags(self) -> dict[str, str]:
        return _filled(self.other["flag"]) if self.ours and self.other is not None and "flag" in self.other else {}

    @property
    def columns(self) -> list[str]:
        return list(self.frame.columns)


def is_score_file(path: str | os.PathLike[str]) -> bool:
    return Path(path).suffix.lower() in SUFFIXES and not os.path.isdir(path)


def read_any_scores(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    key: str | None = None,
    option: str = "columns",
) -> AnyScores:
    """Return the scores in a file of any tool.

    Args:
        path: A CSV, JSON lines or Parquet file, one row per image.
        columns: The columns of scores; None finds the columns.
        key: The column of image names; None finds the column.
        option: The name of ``key`` in messages.

    Raises:
        ScoresError: The file cannot be read, or lacks a column.
    """
    path = Path(path).expanduser()
    if not os.path.isfile(path):
        if journal_of(path).exists():
            raise ScoresError(f"{unfinished(path)}.")
        raise ScoresError(f"{str(path)!r} is not a file: name a csv, jsonl or parquet file of scores.")
    rows, provenance = _rows(path)
    if not rows:
        raise ScoresError(f"{str(path)!r} has no rows: name a file with scores.")
    import pandas

    table = pandas.DataFrame(rows)
    try:
        scales = scales_of(provenance) or read_scales(table.get(SCALE, ()))
    except ValueError as error:
        raise ScoresError(f"{str(path)!r} holds scores of several runs ({error}): name a file of one run.") from error
    name = find_column(path, list(table.columns), key, PATH_COLUMNS, "path", error=ScoresError, option=option)
    names = pandas.Index(table[name].map(str), name="path", dtype=object)
    for column in columns or ():
        if column not in table:
            raise ScoresError(f"{str(path)!r} has no column {column!r}: {nearest(column, map(str, table.columns))}")
        if not _holds_numbers(table[column]):
            raise ScoresError(f"the column {column!r} of {str(path)!r} does not hold numbers: name another column.")
    if columns is None:
        others = [each for each in table if each != name and str(each).lower().strip() not in _NO_SCORES]
        numbers = [each for each in others if _holds_numbers(table[each])]
        columns = [each for each in numbers if each in scales] or numbers
    if not columns:
        known = ", ".join(map(str, table.columns))
        raise ScoresError(f"{str(path)!r} has no column of numbers: its columns are {known}.")
    scores = {str(each): pandas.to_numeric(table[each], "coerce").to_numpy(float) for each in columns}
    errors = {} if "error" not in table else _filled(table["error"].set_axis(names))
    ours = bool(scales) or any(str(cell).startswith("clipiqa") for cell in table.get(METRIC, ()))
    ends = [end for end in (SCALE, METRIC) if ours and end in table]
    other = table.drop(columns=[name, *columns, *ends]).set_axis(names)
    return AnyScores(str(path), pandas.DataFrame(scores, names), provenance, errors, other, scales, ours)


def _rows(path: Path) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    if not is_score_file(path):
        raise ScoresError(f"{str(path)!r} must be a csv, jsonl or parquet file of scores.")
    try:
        head, rows, damage = read_rows_of(path, format_of(path))
        if damage:
            raise ValueError(f"it is damaged: {damage[0]}")
        return rows, head["provenance"] if head else {}
    except CLIPIQAError:
        raise
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ScoresError(f"{str(path)!r} cannot be read as {format_of(path)}: {reason}.") from error


def _filled(texts: pandas.Series) -> dict[str, str]:
    return {str(name): str(text) for name, text in texts.fillna("").items() if text}


def _holds_numbers(values: pandas.Series) -> bool:
    import pandas

    if pandas.api.types.is_bool_dtype(values):
        return False
    filled = values[values.notna() & (values.map(str).str.strip() != "")]
    return bool(len(filled)) and bool(pandas.to_numeric(filled, "coerce").notna().all())


def matching_names(first: Sequence[str], second: Sequence[str]) -> list[list[str]]:
    """Return the image names of two runs without common folders and suffixes, so that most names match."""
    runs = [[name.replace("\\", "/").split("/") for name in names] for names in (first, second)]
    for run in runs:
        stems = [(*parts[:-1], os.path.splitext(parts[-1])[0]) for parts in run]
        if len(set(stems)) == len(stems):
            run[:] = [list(parts) for parts in stems]
    one, two = map(_common_depth, runs)
    cuts = [(one, depth) for depth in range(two, -1, -1)] + [(depth, two) for depth in range(one, -1, -1)]

    def matches(depths: Sequence[int]) -> int:
        names = [{tuple(parts[depth:]) for parts in run} for run, depth in zip(runs, depths, strict=True)]
        return len(names[0] & names[1])

    best = max(cuts, key=matches)
    return [["/".join(parts[depth:]) for parts in run] for run, depth in zip(runs, best, strict=True)]


def _common_depth(run: Sequence[list[str]]) -> int:
    first, last = min(run)[:-1], max(run)[:-1]
    return next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
