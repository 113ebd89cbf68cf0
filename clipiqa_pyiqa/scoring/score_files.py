"""Score files that any tool made."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets.csv_files import PATH_COLUMNS, find_column
from ..errors import CLIPIQAError, nearest
from ..files.names import below_common
from ..sources.stores import images_in
from .result_files import SUFFIXES, format_of, read_rows_of, reading
from .rows import FIELDS, METRIC
from .scale import SCALE, Scale, read_scales, scales_of

if TYPE_CHECKING:
    import pandas

logger = logging.getLogger("clipiqa_pyiqa")
_NO_SCORES = {*FIELDS, METRIC, "index", "id", "", "rank", "n", "split", "unnamed: 0"}


@dataclass(frozen=True)
class AnyScores:
    """The content of a score file.

    Attributes:
        frame: Column per score (NaN: missing); the index holds image names, which may repeat.
        provenance: How scores were made, if known.
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
    """Return whether a path names a file of scores, or a folder of results by shard."""
    if not os.path.isdir(path):
        return Path(path).suffix.lower() in SUFFIXES
    from .shards.results import read_run

    with contextlib.suppress(CLIPIQAError):
        return not any(images_in(path)) and read_run(os.fspath(path)) is not None
    return False


def read_any_scores(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    key: str | None = None,
    option: str = "columns",
    partial: bool = False,
) -> AnyScores:
    """Return the scores in a file of any tool, or in a folder of results by shard.

    Args:
        path: A CSV, JSON lines or Parquet file, one row per image; or the folder that ``clipiqa score`` wrote.
        columns: The columns of scores; None finds the columns.
        key: The column of image names; None finds the column.
        option: The name of ``key`` in messages.
        partial: Accept an unfinished folder of results.

    Raises:
        CLIPIQAError: The file cannot be read, or lacks a column.
    """
    path = Path(path).expanduser()
    import pandas

    rows, provenance = _rows(path, partial)
    table = pandas.DataFrame(rows)
    try:
        scales = scales_of(provenance) or read_scales(table.get(SCALE, ()))
    except ValueError as error:
        raise CLIPIQAError(f"{str(path)!r} holds scores of several runs ({error}): name a file of one run.") from error
    name = find_column(path, list(table.columns), key, PATH_COLUMNS, "path", option=option)
    names = pandas.Index(table[name].map(str), name="path", dtype=object)
    others = [each for each in table if each != name and str(each).lower().strip() not in _NO_SCORES]
    numbers = [each for each in columns or others if each in table and _holds_numbers(table[each])]
    if missing := [each for each in columns or () if each not in numbers]:
        raise CLIPIQAError(
            f"{str(path)!r} has no numbers called {missing[0]!r}: {nearest(missing[0], map(str, others))}"
        )
    if not numbers:
        known = ", ".join(map(str, table.columns))
        raise CLIPIQAError(f"{str(path)!r} has no column of numbers: its columns are {known}.")
    columns = columns or [each for each in numbers if each in scales] or numbers
    scores = {str(each): pandas.to_numeric(table[each], "coerce").to_numpy(float) for each in columns}
    errors = {} if "error" not in table else _filled(table["error"].set_axis(names))
    ours = bool(scales) or any(str(cell).startswith("clipiqa") for cell in table.get(METRIC, ()))
    ends = [end for end in (SCALE, METRIC) if ours and end in table]
    other = table.drop(columns=[name, *columns, *ends]).set_axis(names)
    return AnyScores(str(path), pandas.DataFrame(scores, names), provenance, errors, other, scales, ours)


def _rows(path: Path, partial: bool) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    if path.is_dir():
        from .shards.summary import summary_of

        found = summary_of(path, partial=partial)
        for line in found.notes():
            logger.warning("%s.", line)
        return [row for table in found.tables() for row in table.to_pylist()], found.header.provenance
    format = format_of(path)
    with reading(path, format):
        head, rows, damage = read_rows_of(path, format)
        if damage or not rows:
            raise ValueError(f"it is damaged: {damage[0]}" if damage else "it has no rows")
        return rows, head["provenance"] if head else {}


def _filled(texts: pandas.Series) -> dict[str, str]:
    return {str(name): str(text) for name, text in texts.fillna("").items() if text}


def _holds_numbers(values: pandas.Series) -> bool:
    import pandas

    if pandas.api.types.is_bool_dtype(values):
        return False
    filled = values[values.notna() & (values.map(str).str.strip() != "")]
    return bool(len(filled)) and bool(pandas.to_numeric(filled, "coerce").notna().all())


def matching_names(*runs: Sequence[str]) -> list[list[str]]:
    """Return each run's image names below its common folder, without suffixes; as given if no name is then shared."""
    found = []
    for names in runs:
        below = below_common(names)
        stems = [os.path.splitext(below[name])[0] for name in names]
        found.append(stems if len(set(stems)) == len(below) else [below[name] for name in names])
    return found if set.intersection(*map(set, found)) else [list(names) for names in runs]
