"""CSV files of images and people's scores."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...checks import FilePath
from ...errors import CLIPIQAError
from ..files.csv_files import PATH_COLUMNS, Row, column_key, find_column, log_other_columns, read_rows

if TYPE_CHECKING:
    import pandas

_SCORE_COLUMNS = (
    "mos mean_opinion_score mos_quality quality_mos opinion opinions opinion_score opinion_scores dmos label rating "
    "mean_score score"
)
_GROUP_COLUMNS = "ref_img ref_name ref_path ref_image reference ref"
_GROUP_OPTION = "group or within"
SPLITS = ("train", "val", "test")
ColumnNames = tuple[str | int | None, str | int | None, str | int | None]


@dataclass(frozen=True)
class _OpinionColumns:
    """Names of columns; those of split and group are empty if the file has none."""

    image: str
    score: str
    split: str
    group: str


def read_opinions(
    path: FilePath,
    *,
    root: FilePath | None = None,
    columns: ColumnNames = (None, None, None),
    lower_better: bool | None = None,
    with_splits: bool = True,
    group: str | int | None = None,
) -> pandas.DataFrame:
    """Return a CSV file's images: ``path``, ``score``, and ``split`` and ``group`` if the file has them.

    Arguments as for :func:`read_score_table`.
    """
    import pandas

    path = Path(path).expanduser()
    rows, header = read_rows(path)
    names = _opinion_columns(path, header, columns, group, with_splits)
    _check_scores_are_opinions(path, header, names.score, columns[1], lower_better)
    folder = path.parent if root is None else Path(root).expanduser()
    opinions = [_opinion(path, line, row, names, folder) for line, row in rows]
    # objects, since pandas' own texts must be UTF-8
    return pandas.DataFrame(opinions, dtype=object).astype({"score": float})


def _opinion_columns(
    path: Path, header: Sequence[str], columns: ColumnNames, group: str | int | None, with_splits: bool
) -> _OpinionColumns:
    image, score, split = columns
    names = _OpinionColumns(
        image=find_column(path, header, image, PATH_COLUMNS),
        score=find_column(path, header, score, _SCORE_COLUMNS),
        split=find_column(path, header, split, "split", needed=False) if with_splits else "",
        group=find_column(path, header, group, _GROUP_COLUMNS, option=_GROUP_OPTION, needed=False),
    )
    log_other_columns(path, header, image, PATH_COLUMNS)
    log_other_columns(path, header, score, _SCORE_COLUMNS)
    log_other_columns(path, header, group, _GROUP_COLUMNS, option=_GROUP_OPTION)
    return names


def _check_scores_are_opinions(
    path: Path, header: Sequence[str], score: str, chosen: str | int | None, lower_better: bool | None
) -> None:
    if chosen is None and score == "score" and {"scale", "metric"} <= set(header):
        raise CLIPIQAError(
            f"{path} holds results of clipiqa score, not opinions: add people's scores in a column 'mos', "
            "or name their column with `columns`."
        )
    if lower_better is None and column_key(score) == "dmos":
        raise CLIPIQAError(
            f"{path} has the column {score!r}, but in some data sets a low DMOS is good, in others a high one: say "
            "which with `lower_better`."
        )


def _opinion(path: Path, line: int, row: Row, names: _OpinionColumns, folder: Path) -> dict[str, Any]:
    """Return an image's ``path`` and ``score``, and its ``group`` and ``split`` if there are such columns."""
    try:
        score = float(row[names.score])
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise CLIPIQAError(f"{path}, line {line}: the score {row[names.score]!r} is not a number.")
    opinion: dict[str, Any] = {"path": os.path.abspath(folder / row[names.image]), "score": score}
    if names.group:
        opinion["group"] = row[names.group]
    if names.split:
        split = row[names.split].strip().lower()
        if split not in SPLITS:
            raise CLIPIQAError(f"{path}, line {line}: the split {split!r} must be one of {', '.join(SPLITS)}.")
        opinion["split"] = split
    return opinion
