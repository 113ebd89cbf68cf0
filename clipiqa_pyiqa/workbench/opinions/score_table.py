"""Images with people's scores to learn from, in splits that keep groups together."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas

from ...checks import FilePath, check_number, check_seed
from ...errors import CLIPIQAError, OptionError
from ...files import FileHashes
from ...text import counted, few, hint_for, log
from ..files.named_files import check_images_exist
from ..stats.correlation import why_undefined
from .photo_groups import joined_groups, photos_in_files
from .pyiqa_sets import locate
from .pyiqa_settings import known_sets
from .splits import rows_of_drawn_groups
from .table_file import Column, OpinionFile, Opinions, read_opinions


@dataclass(frozen=True)
class ScoreTable:
    """Image files and their scores.

    Attributes:
        frame: ``path``, ``target`` (score in [0, 1], high is good), ``split`` (``'train'``, ``'val'`` or ``'test'``)
            and ``group``; random splits and folds keep groups together. Targets of held-out images may lie outside of
            [0, 1] if the range is that of the training images.
        score_range: Lowest and highest score, as given.
        notes_on_columns: Which columns are not read, although they have usual names too, in sentences.
        left_out: What of the file is left out, in phrases.
        further_ratings: Number of rows of photos that an earlier row has, too.
        hashes: SHA-256 of the files, so that a run reads each only once for it.
    """

    name: str
    frame: pandas.DataFrame
    score_range: tuple[float, float]
    lower_better: bool = False
    notes_on_columns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    further_ratings: int = 0
    hashes: FileHashes = field(default_factory=FileHashes, compare=False, repr=False)

    def without(self, is_left_out: Sequence[bool]) -> "ScoreTable":
        """Return the table without some of its images."""
        return replace(self, frame=self.frame[[not is_unwanted for is_unwanted in is_left_out]])

    def part(self, split: str) -> pandas.DataFrame:
        return self.frame[self.frame["split"] == split]

    def check_splits(self, needed: Sequence[str]) -> None:
        """Raise ``CLIPIQAError`` if the scores of a needed split are too few, or all equal."""
        for split in needed:
            opinions = self.part(split)["target"]
            if why := why_undefined(opinions, opinions):
                raise CLIPIQAError(
                    f"split {split!r} of {self.name!r} cannot be used: {why}{_bracketed(self.left_out)}; change the "
                    "split, or val_fraction.",
                    options=("val_fraction",),
                )

    def log_notes(self) -> None:
        """Log what is not read, what is left out, and what a person should know of ratings and splits."""
        for sentence in self.notes_on_columns:
            log.info(sentence)
        for phrase in self.left_out:
            log.warning(f"left out: {phrase}")
        if self.further_ratings:
            log.info(
                f"{counted(self.further_ratings, 'further row')} of photos that have one already: all ratings count, "
                "and those of one photo stay in one split"
            )
        shared = (self.frame.groupby("group")["split"].nunique() > 1).sum()
        if shared:
            log.warning(
                f"held-out results may be too good: splits share {counted(shared, 'group')} of one photo or scene"
            )


def read_score_table(
    path: FilePath | OpinionFile,
    *,
    root: str | Path | None = None,
    columns: tuple[Column, Column, Column] = (None, None, None),
    score_range: tuple[float, float] | None = None,
    lower_better: bool | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
    skip_missing: bool = False,
    name: str | None = None,
    group: str | int | None = None,
    needed: Sequence[str] = ("train", "val"),
) -> ScoreTable:
    """Return the images and scores in a CSV file; no image is decoded.

    Args:
        path: The CSV file, or such a file with what its columns mean.
        root: Folder where relative paths start; default the file's folder.
        columns: Names or numbers of the columns of paths, scores and splits; default usual names.
        score_range: Lowest and highest possible score; default those of the training images.
        lower_better: Whether low scores are good; None means no, but a column ``dmos`` needs True or False.
        val_fraction: Share of the images to draw for validation, in whole groups, if there is no column of splits.
        seed: Seed of this draw.
        skip_missing: Leave out images that do not exist; else they are refused.
        name: Name of the table in messages; default the file's name.
        group: Name or number of the column of groups, which splits keep together; default a usual name of references.
        needed: Splits that must have scores to learn from.
    """
    check_seed(seed)
    check_number("val_fraction", val_fraction, 0, 1)
    for end in score_range or ():
        check_number("score_range", end)
    file = path if isinstance(path, OpinionFile) else OpinionFile(path)
    file = _with_options(file, root, columns, lower_better, group)
    path = Path(file.path).expanduser()
    opinions = read_opinions(file)
    frame = _frame_of(opinions)
    left_out = []
    if "split" in frame:
        left_out += _note_on_rows_in_no_split(path, frame["split"])
        frame = frame[frame["split"] != ""].reset_index(drop=True)
    hashes = FileHashes()
    photos = photos_in_files(frame["path"], hashes)
    frame = frame.assign(group=joined_groups(frame, photos))
    if "split" not in frame:
        frame = frame.assign(split=_drawn_splits(frame["group"], val_fraction, seed))
    if skip_missing:
        has_file = frame["path"].map(os.path.isfile)
        left_out += _note_on_missing(frame["path"][~has_file])
        photos = [photo for photo, exists in zip(photos, has_file, strict=True) if exists]
        frame = frame[has_file]
    _check_is_not_empty(path, frame, left_out)
    scale = score_range or _range_of_training(path, frame, left_out)
    if score_range:
        _check_range(path, frame["score"], *score_range)
    check_images_exist(path, frame["path"], ", or leave out the missing images (skip_missing)")
    is_reversed = bool(file.lower_better)
    frame = frame.assign(target=_targets(frame["score"], *scale, is_reversed=is_reversed))
    further_ratings = len(photos) - len(set(photos))
    table = ScoreTable(
        name=name or path.stem,
        frame=frame,
        score_range=scale,
        lower_better=is_reversed,
        notes_on_columns=opinions.notes_on_columns,
        left_out=tuple(left_out),
        further_ratings=further_ratings,
        hashes=hashes,
    )
    table.check_splits(needed)
    return table


def _with_options(
    file: OpinionFile,
    root: FilePath | None,
    columns: tuple[Column, Column, Column],
    lower_better: bool | None,
    group: Column,
) -> OpinionFile:
    """Return the file, read with the options that are given."""
    image, score, split = columns
    usual_image, usual_score = file.columns
    if split is not None:
        file = replace(file, split=split, has_splits=True)
    return replace(
        file,
        root=file.root if root is None else root,
        columns=(usual_image if image is None else image, usual_score if score is None else score),
        lower_better=file.lower_better if lower_better is None else lower_better,
        group=file.group if group is None else group,
    )


def _frame_of(opinions: Opinions) -> pandas.DataFrame:
    """Return ``path``, ``score``, and ``split`` and ``group`` if the file has them."""
    columns: dict[str, Sequence[str | float]] = {"path": opinions.paths, "score": opinions.scores}
    if opinions.groups is not None:
        columns["group"] = opinions.groups
    if opinions.splits is not None:
        columns["split"] = opinions.splits
    # objects, since pandas' own texts must be UTF-8
    return pandas.DataFrame(columns, dtype=object).astype({"score": float})


def _drawn_splits(groups: pandas.Series, val_fraction: float, seed: int) -> pandas.Series:
    """Return ``'train'`` or ``'val'`` of each row, at random, in whole groups."""
    splits = pandas.Series("train", groups.index)
    splits[rows_of_drawn_groups(groups, val_fraction, seed)] = "val"
    return splits


def _targets(scores: pandas.Series, low: float, high: float, *, is_reversed: bool) -> pandas.Series:
    """Return scores as shares of a range, high is good."""
    shares = (scores - low) / (high - low)
    return 1 - shares if is_reversed else shares


def _note_on_rows_in_no_split(path: Path, splits: pandas.Series) -> list[str]:
    """Return how many images are in no split, in a phrase, if there are any."""
    count = (splits == "").sum()
    return [f"{counted(count, 'image')} of {str(path)!r} that are in no split"] if count else []


def _note_on_missing(paths: pandas.Series) -> list[str]:
    """Return which images are missing, in a phrase, if there are any."""
    names = paths.unique()
    return [f"{counted(len(names), 'missing image')}: {few(names)}"] if len(names) else []


def _bracketed(left_out: Sequence[str]) -> str:
    """Return what is left out, for the middle of a sentence."""
    return f" (left out: {'; '.join(left_out)})" if left_out else ""


def _check_is_not_empty(path: Path, frame: pandas.DataFrame, left_out: Sequence[str]) -> None:
    """Raise ``CLIPIQAError`` if all rows are left out."""
    if frame.empty:
        raise CLIPIQAError(
            f"{path} has no image to learn from{_bracketed(left_out)}: correct its paths, its splits, or `root`.",
            options=("root",),
        )


def _check_range(path: Path, scores: pandas.Series, low: float, high: float) -> None:
    """Raise ``CLIPIQAError`` unless the scores differ and lie in a range."""
    if not low <= scores.min() < scores.max() <= high:
        raise CLIPIQAError(
            f"{path} has scores from {scores.min():g} to {scores.max():g}: they must differ, and lie in the range from "
            f"{low:g} to {high:g} (the lowest, then the highest)."
        )


def _range_of_training(path: Path, frame: pandas.DataFrame, left_out: Sequence[str]) -> tuple[float, float]:
    """Return the lowest and highest training score: others must not tell what is learned."""
    scores = frame["score"][frame["split"] == "train"]
    if scores.empty:
        scores = frame["score"]
    if scores.nunique() < 2:
        raise CLIPIQAError(
            f"the {counted(len(scores), 'training score')} of {path}{_bracketed(left_out)} must differ, so that there "
            "is something to learn."
        )
    return scores.min(), scores.max()


def find_score_table(scores: ScoreTable | FilePath, *, data_root: FilePath | None = None, **options: Any) -> ScoreTable:
    """Return a given table, or the scores of a CSV file or of a data set of pyiqa.

    Args:
        scores: A path exists or has a suffix; any other text names a data set.
        data_root: Folder of pyiqa's ``meta_info`` and the images, for a data set; default ``./datasets``.
        **options: As for :func:`read_score_table`.
    """
    if isinstance(scores, ScoreTable):
        return scores
    if isinstance(scores, Path) or Path(scores).suffix or os.path.exists(scores):
        if data_root is not None:
            raise OptionError(
                f"`data_root` is for data sets of pyiqa, but {os.fspath(scores)!r} is a file: leave it out.",
                options=("data_root",),
            )
        return read_score_table(scores, **options)
    name = str(scores)
    if name not in known_sets():
        known = hint_for(name, sorted(known_sets()))
        raise CLIPIQAError(f"{name!r} is neither a CSV file nor a data set of pyiqa's: {known}")
    located = locate(name, data_root, needs_root="root" not in options)
    usual = {"name": name, "score_range": located.settings.get("mos_range")}
    return read_score_table(located.file, **{**usual, **options})
