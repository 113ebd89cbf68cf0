"""The reader of opinions: a CSV file of images and people's scores, yours or pyiqa's."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ...checks import FilePath
from ...errors import CLIPIQAError
from ..files.csv_columns import PATH_COLUMNS, column_key, find_column, notes_on_other_columns
from ..files.csv_files import CsvRow, read_rows
from .splits import SPLITS, SplitColumn

_SCORE_COLUMNS = (
    "mos mean_opinion_score mos_quality quality_mos opinion opinions opinion_score opinion_scores dmos label rating "
    "mean_score score"
)
_GROUP_COLUMNS = "ref_img ref_name ref_path ref_image reference ref"
Column = str | int | None
"""Name or number of a column; None for one with a usual name."""


@dataclass(frozen=True)
class OpinionFile:
    """A CSV file of images and people's scores, and what its columns mean.

    Attributes:
        root: Folder where relative paths start; default the file's folder.
        columns: Columns of images and scores.
        lower_better: Whether low scores are good; None means no, but a column ``dmos`` needs True or False.
        split: Column of splits; None for a column ``split``, if there is one.
        has_splits: Whether a column of splits is read at all.
        group: Column of groups, such as scenes; None for one with a usual name of references, if there is one.
        has_groups: Whether a column of groups is read at all.
        group_option: The user's option that names this column.
        first_row: Number of the first row that is read, from 0.
        split_column: What the column of splits means.
    """

    path: FilePath
    root: FilePath | None = None
    columns: tuple[Column, Column] = (None, None)
    lower_better: bool | None = None
    split: Column = None
    has_splits: bool = True
    group: Column = None
    has_groups: bool = True
    group_option: str = "group"
    first_row: int = 0
    split_column: SplitColumn = field(default_factory=SplitColumn)


@dataclass(frozen=True)
class Opinions:
    """Images and people's scores, in the order of a table.

    Attributes:
        paths: Absolute paths.
        splits: ``'train'``, ``'val'``, ``'test'``, or an empty text for an image in no split; None without a column.
        groups: Group of each image; None without a column.
        notes_on_columns: Which columns are not read, although they have usual names too, in sentences.
    """

    paths: tuple[str, ...]
    scores: tuple[float, ...]
    splits: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    notes_on_columns: tuple[str, ...] = ()

    def part(self, split: str) -> Opinions:
        """Return the opinions on the images of a split; all of them without splits."""
        if self.splits is None:
            return self
        rows = [row for row, name in enumerate(self.splits) if name == split]
        return Opinions(
            paths=tuple(self.paths[row] for row in rows),
            scores=tuple(self.scores[row] for row in rows),
            splits=(split,) * len(rows),
            groups=None if self.groups is None else tuple(self.groups[row] for row in rows),
            notes_on_columns=self.notes_on_columns,
        )


class _ColumnNames(NamedTuple):
    """Names of columns; those of splits and groups are empty if none is read."""

    image: str
    score: str
    split: str
    group: str


def read_opinions(file: OpinionFile) -> Opinions:
    """Return the images and scores in a CSV file; no image is opened."""
    path = Path(file.path).expanduser()
    rows, header = read_rows(path)
    names = _columns_to_read(path, header, file)
    _check_scores_are_opinions(path, header, names.score, file)
    folder = path.parent if file.root is None else Path(file.root).expanduser()
    rated = rows[file.first_row :]
    # pyiqa counts the splits' rows from the first row of the table, also where it leaves out the first images
    rows_of_splits = rows[: len(rated)]
    return Opinions(
        paths=tuple(os.path.abspath(folder / row[names.image]) for _, row in rated),
        scores=tuple(_score(path, line, row[names.score]) for line, row in rated),
        splits=_splits(path, rows_of_splits, names.split, file.split_column) if names.split else None,
        groups=tuple(row[names.group] for _, row in rated) if names.group else None,
        notes_on_columns=_notes_on_columns(path, header, file),
    )


def _columns_to_read(path: Path, header: Sequence[str], file: OpinionFile) -> _ColumnNames:
    """Return the names of the columns to read. Raises ``CLIPIQAError`` if the file lacks one that it must have."""
    image, score = file.columns
    split = ""
    if file.has_splits:
        split_option = "split_index" if file.split_column.is_exact else "columns"
        split = find_column(path, header, file.split, "split", option=split_option, is_needed=False)
    group = ""
    if file.has_groups:
        group = find_column(path, header, file.group, _GROUP_COLUMNS, option=file.group_option, is_needed=False)
    return _ColumnNames(
        image=find_column(path, header, image, PATH_COLUMNS),
        score=find_column(path, header, score, _SCORE_COLUMNS),
        split=split,
        group=group,
    )


def _notes_on_columns(path: Path, header: Sequence[str], file: OpinionFile) -> tuple[str, ...]:
    """Return which columns are not read, although they have usual names too, in sentences."""
    image, score = file.columns
    notes = notes_on_other_columns(path, header, image, PATH_COLUMNS)
    notes += notes_on_other_columns(path, header, score, _SCORE_COLUMNS)
    if file.has_groups:
        notes += notes_on_other_columns(path, header, file.group, _GROUP_COLUMNS)
    return tuple(notes)


def _check_scores_are_opinions(path: Path, header: Sequence[str], score: str, file: OpinionFile) -> None:
    """Raise ``CLIPIQAError`` for results of a metric, and for DMOS without a direction."""
    if file.columns[1] is None and score == "score" and {"scale", "metric"} <= set(header):
        raise CLIPIQAError(
            f"{path} holds results of clipiqa score, not opinions: add people's scores in a column 'mos', "
            "or name their column with `columns`.",
            options=("columns",),
        )
    if file.lower_better is None and column_key(score) == "dmos":
        raise CLIPIQAError(
            f"{path} has the column {score!r}, but in some data sets a low DMOS is good, in others a high one: say "
            "which with `lower_better`.",
            options=("lower_better",),
        )


def _score(path: Path, line: int, text: str) -> float:
    """Return the score in a cell. Raises ``CLIPIQAError`` unless it is a finite number."""
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise CLIPIQAError(f"{path}, line {line}: the score {text!r} is not a number.")
    return score


def _splits(path: Path, rows: Sequence[tuple[int, CsvRow]], column: str, meaning: SplitColumn) -> tuple[str, ...]:
    """Return the split of each row; empty for a row that is in none.

    Raises ``CLIPIQAError`` for a text that means no split, if the column may hold no such text.
    """
    splits = []
    for line, row in rows:
        split = meaning.split_of(row[column])
        if not split and not meaning.is_exact:
            raise CLIPIQAError(
                f"{path}, line {line}: the split {row[column].strip().lower()!r} must be one of {', '.join(SPLITS)}."
            )
        splits.append(split)
    return tuple(meaning.with_validation_images(splits))
