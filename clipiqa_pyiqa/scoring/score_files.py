"""Scores from any file: those of ``clipiqa score``, or any CSV, JSON lines or Parquet file of another tool."""

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
    """A file of scores that cannot be used as asked."""


@dataclass(frozen=True)
class AnyScores:
    """What a score file says.

    Attributes:
        file: Where it was read.
        frame: Index: names of the images, as written; one column per score, NaN where there is none. Names may come
            twice.
        provenance: How the scores were made, if the file or what lies beside it says so.
        errors: Image -> why it has no scores, as far as the file says.
        other: The file's other columns, same index.
        scales: Score column -> what its values mean, as far as a file of ours says it.
        ours: Whether ``clipiqa score`` made the file, as far as can be told.
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
        """Image -> the flag that ``clipiqa score`` gave it, of images that have one."""
        return _filled(self.other["flag"]) if self.ours and self.other is not None and "flag" in self.other else {}

    @property
    def columns(self) -> list[str]:
        """Names of the scores."""
        return list(self.frame.columns)


def is_score_file(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a file of scores, by its suffix."""
    return Path(path).suffix.lower() in SUFFIXES and not os.path.isdir(path)


def read_any_scores(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    key: str | None = None,
    option: str = "--columns",
) -> AnyScores:
    """Read scores, whoever wrote them.

    Args:
        path: A CSV, JSON lines or Parquet file: one row per image.
        columns: Which columns are scores; default every one that holds numbers only, in a file of ours its scores.
        key: The column that names the images; default ``path``, ``image``, ``file`` or the like.
        option: How one says which, for messages.

    Raises:
        ScoresError: It cannot be read, names no images, or has no such column.
    """
    path = Path(path).expanduser()
    if not os.path.isfile(path):
        if journal_of(path).exists():
            raise ScoresError(f"{unfinished(path)}.")
        raise ScoresError(f"{str(path)!r} is no file: name a csv, jsonl or parquet file of scores.")
    rows, provenance = _rows(path)
    if not rows:
        raise ScoresError(f"{str(path)!r} has no rows: there are no scores in it.")
    import pandas

    whole = pandas.DataFrame(rows)
    try:
        scales = scales_of(provenance) or read_scales(whole.get(SCALE, ()))
    except ValueError as error:
        raise ScoresError(f"{str(path)!r} holds several runs ({error}): use the file of one.") from error
    name = find_column(path, list(whole.columns), key, PATH_COLUMNS, "path", error=ScoresError, option=option)
    names = pandas.Index(whole[name].map(str), name="path", dtype=object)
    if columns is None:
        numbers = [c for c in whole if c != name and str(c).lower().strip() not in _NO_SCORES and _is_number(whole[c])]
        numbers = [c for c in numbers if c in scales] or numbers
    else:
        for column in columns:
            if column not in whole:
                raise ScoresError(f"{str(path)!r} has no column {column!r}: {nearest(column, map(str, whole.columns))}")
            if not _is_number(whole[column]):
                raise ScoresError(f"the column {column!r} of {str(path)!r} does not hold numbers: name another one.")
        numbers = list(columns)
    if not numbers:
        known = ", ".join(map(str, whole.columns))
        raise ScoresError(f"{str(path)!r} has no column of numbers: its columns are {known}.")
    frame = pandas.DataFrame({str(c): pandas.to_numeric(whole[c], "coerce").to_numpy(float) for c in numbers}, names)
    said = {} if "error" not in whole else _filled(whole["error"].set_axis(names))
    ours = bool(scales) or any(str(cell).startswith("clipiqa") for cell in whole.get(METRIC, ()))
    ends = [end for end in (SCALE, METRIC) if ours and end in whole]
    other = whole.drop(columns=[name, *numbers, *ends]).set_axis(names)
    return AnyScores(str(path), frame, provenance, said, other, scales, ours)


def _rows(path: Path) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    if not is_score_file(path):
        raise ScoresError(f"{str(path)!r} is no csv, jsonl or parquet file of scores, by its suffix.")
    try:
        head, rows, damage = read_rows_of(path, format_of(path))
        if damage:
            raise ValueError(f"it is damaged: {damage[0]}")
        return rows, head["provenance"] if head else {}
    except CLIPIQAError:
        raise
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError) as error:
        said = " ".join(str(error).split())[:200]
        raise ScoresError(f"{str(path)!r} cannot be read as {format_of(path)}: {said}.") from error


def _filled(texts: pandas.Series) -> dict[str, str]:
    return {str(name): str(text) for name, text in texts.fillna("").items() if text}


def _is_number(values: pandas.Series) -> bool:
    """Whether a column holds a number wherever it holds anything, and somewhere does."""
    import pandas

    if pandas.api.types.is_bool_dtype(values):
        return False
    filled = values[values.notna() & (values.map(str).str.strip() != "")]
    return bool(len(filled)) and bool(pandas.to_numeric(filled, "coerce").notna().all())


def matching_names(first: Sequence[str], second: Sequence[str]) -> list[list[str]]:
    """The paths of two runs as they match: below each run's common folder, with ``/`` and without suffix.

    Where one run holds a part of the other's folders only, its common folder lies deeper; then the folders are taken
    under which most of the paths match. Suffixes are kept where names differ in nothing else.
    """
    runs = [[name.replace("\\", "/").split("/") for name in names] for names in (first, second)]
    for run in runs:
        stems = [(*parts[:-1], os.path.splitext(parts[-1])[0]) for parts in run]
        if len(set(stems)) == len(stems):
            run[:] = [list(parts) for parts in stems]
    depths = [_common_depth(run) for run in runs]
    cuts = [(depths[0], depths[1])]
    if len(_below(runs[0], depths[0]) & _below(runs[1], depths[1])) < min(map(len, runs)):
        cuts += [(depths[0], depth) for depth in reversed(range(depths[1]))]
        cuts += [(depth, depths[1]) for depth in reversed(range(depths[0]))]
    best = max(cuts, key=lambda cut: len(_below(runs[0], cut[0]) & _below(runs[1], cut[1])))
    return [["/".join(parts[depth:]) for parts in run] for run, depth in zip(runs, best, strict=True)]


def _common_depth(run: Sequence[list[str]]) -> int:
    """How many folders all paths begin with."""
    first, last = min(run)[:-1], max(run)[:-1]
    return next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _below(run: Sequence[Sequence[str]], depth: int) -> set[tuple[str, ...]]:
    return {tuple(parts[depth:]) for parts in run}
