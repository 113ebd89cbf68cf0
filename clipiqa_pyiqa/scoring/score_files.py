"""Score files that any tool made, the good end of each score, and images chosen by their scores."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.csv_files import PATH_COLUMNS, find_column
from ..datasets.specification import pyiqa_configs
from ..errors import CLIPIQAError, nearest
from ..files.names import below_common
from ..sources.stores import images_in
from .result_files import SUFFIXES, format_of, read_rows_of, reading
from .rows import FIELDS, METRIC, SCALE, Scale, read_scales, scales_of

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
        from .shards.results import summary_of

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


_COMMON = dict.fromkeys(("mse", "rmse", "mae", "l1", "l2", "error", "loss", "distance", "dmos", "kid", "fvd"), True)
_COMMON |= {"mos": False, "vmaf": False}
"""Name of a well-known score that pyiqa does not have -> whether a low score is good."""


@dataclass(frozen=True)
class Direction:
    """Whether low scores are good, and the reason."""

    lower_better: bool
    because: str

    def __str__(self) -> str:
        return f"{'lower' if self.lower_better else 'higher'} is better ({self.because})"


def find_direction(runs: Sequence[AnyScores], column: str, given: bool | None = None) -> Direction:
    """Return a column's direction; ``given`` is the option ``lower_better``, or None if it is not set."""
    for run in runs:
        if column not in run.scales:
            continue
        name, lower_better = os.path.basename(run.file) or "the metric", run.scales[column].lower_better
        if given in (None, lower_better):
            return Direction(lower_better, f"as {name} says")
        return Direction(not lower_better, f"as the option says, unlike {name}")
    if given is not None:
        return Direction(given, "as the option says")
    known = {**_COMMON, **{name: bool(config.get("lower_better")) for name, config in pyiqa_configs().items()}}
    name = column.lower().strip()
    by_name = known.get(name, known.get(re.split(r"[\s_(-]", name)[0]))
    by_name = {"↓": True, "↑": False}.get(name[-1:], by_name)
    for run in runs:
        if run.ours and (by_name is None or not run.scales):
            raise CLIPIQAError(
                f"{run.file!r} is a file of clipiqa score, but its column 'scale' does not say whether a low or a high "
                f"{column!r} is good: pass lower_better or higher_better."
            )
    if by_name is None:
        return Direction(False, "assumed, as its name is unknown; if wrong, pass lower_better")
    return Direction(by_name, "by its name")


_SHARE = "percentage such as 10%"
CUTS = dict.fromkeys(("worst", "best"), f"a number of images, or a {_SHARE}")
CUTS |= {"below": f"a number, or a {_SHARE}", "above": f"a number, or a {_SHARE}", "drop_worst": f"a {_SHARE}"}
"""Condition of :func:`choose` -> the values that it takes, in words."""


def choose(
    names: Any, scores: Any, lower_better: bool, cuts: Mapping[str, Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of the worst images (the worst first), and of the best images (the best first).

    A share such as ``'10%'`` counts the images that have a score, and is rounded down. Images with equal scores are in
    order of name. An image without a score (NaN) is never chosen.

    Args:
        names: The images' names, ``(N,)``: texts, or an array of pyarrow's.
        scores: The images' scores, ``(N,)``.
        lower_better: Whether low scores are good.
        cuts: ``worst`` and ``best`` choose a number or a share; without both, the first array holds all images that the
            other conditions leave. ``above`` leaves images at least as good as a score, ``below`` worse images; a share
            means the score that this share does not reach. ``drop_worst`` leaves out a share.

    Raises:
        CLIPIQAError: A condition is neither a number nor a share.
    """
    import pyarrow
    from pyarrow.compute import sort_indices

    quality = np.asarray(scores, float) * (-1 if lower_better else 1)
    table = pyarrow.table({"quality": quality, "name": names})

    def ordered(way: str) -> NDArray[np.intp]:
        places = sort_indices(table, [("quality", way), ("name", "ascending")]).to_numpy()
        return places[~np.isnan(quality[places])]

    left = ordered("ascending")
    known = quality[left]
    ends = {name: _count(name, cut, known, lower_better) for name, cut in cuts.items() if cut is not None}
    left = left[max(ends.get("above", 0), ends.get("drop_worst", 0)) : ends.get("below")]
    if not {"worst", "best"} & ends.keys():
        return left, left[:0]
    worst = left[: ends.get("worst", 0)]
    rest = ordered("descending")
    return worst, rest[np.isin(rest, left) & ~np.isin(rest, worst)][: ends.get("best", 0)]


def _count(name: str, cut: Any, quality: NDArray[np.float64], lower_better: bool) -> int:
    text = str(cut).strip()
    try:
        value = Decimal(text.removesuffix("%"))
        if text.endswith("%"):
            if 0 <= value <= 100:
                return int(value * len(quality) / 100)
        elif name in ("above", "below") and not value.is_nan():
            return int(np.searchsorted(quality, float(-value if lower_better else value)))
        elif name in ("worst", "best") and value.is_finite() and 1 <= value == value.to_integral_value():
            return int(min(value, Decimal(len(quality))))
    except ArithmeticError:
        pass
    raise CLIPIQAError(f"{name} must be {CUTS[name]}; got {cut!r}.")
