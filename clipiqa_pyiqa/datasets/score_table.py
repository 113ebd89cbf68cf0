"""Images with people's scores, from CSV files and pyiqa's data sets."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import counted, nearest
from ..files.hashes import hashes_of
from .csv_files import Columns, NamedScore, TableError, missing_images, read_scores
from .split_file import read_split_file


@dataclass(frozen=True)
class ScoreTable:
    """Image files and their scores.

    Attributes:
        name: Name of the data set.
        paths: Existing image files.
        targets: Scores in [0, 1], high is good.
        splits: ``'train'``, ``'val'`` or ``'test'`` for each image.
        score_range: Lowest and highest score, as given.
        lower_better: Whether low given scores are good.
    """

    name: str
    paths: tuple[Path, ...]
    targets: tuple[float, ...]
    splits: tuple[str, ...]
    score_range: tuple[float, float]
    lower_better: bool = False

    def rows(self, split: str) -> list[int]:
        """Return the indices of a split's images."""
        return [row for row, part in enumerate(self.splits) if part == split]


def read_score_table(
    path: str | Path,
    *,
    root: str | Path | None = None,
    columns: Columns = (None, None, None),
    score_range: tuple[float, float] | None = None,
    lower_better: bool = False,
    val_fraction: float = 0.2,
    seed: int = 0,
    skip_missing: bool = False,
    name: str | None = None,
    needed: Sequence[str] = ("train", "val"),
    split_file: str | Path | None = None,
    split_index: int = 1,
) -> ScoreTable:
    """Return the images and scores in a CSV file; no image is decoded.

    Args:
        root: Folder of the image paths; default the file's folder.
        columns: Names or numbers of the columns of paths, scores and splits; default usual names.
        score_range: Lowest and highest possible score; default as in the table.
        lower_better: Whether low scores are good (DMOS).
        val_fraction: Share of rows for validation, if there are no splits.
        seed: Seed of that split.
        needed: Splits that need at least two images.
        split_file: pyiqa's pickle of splits, instead of a column.
        split_index: Number of the split in that file.
    """
    path = Path(path).expanduser()
    rows = read_scores(path, root=root, columns=columns, with_splits=split_file is None)
    scores = [row.score for row in rows]
    low, high = score_range or (min(scores), max(scores))
    if not low < high or min(scores) == max(scores):
        is_odd = score_range is not None and not low < high
        found = f"score_range is {low:g} to {high:g}" if is_odd else f"every score in {path} is {scores[0]:g}"
        raise TableError(f"{found}: there is nothing to learn without a range of scores.")
    if outside := [row for row in rows if not low <= row.score <= high]:
        raise TableError(
            f"{path}, line {outside[0].line}: the score {outside[0].score:g} is outside the range of {low:g} to "
            f"{high:g}."
        )
    is_split = split_file is not None or rows[0].split is not None
    splits: Sequence[str | None] = [row.split for row in rows]
    if split_file is not None:
        splits = read_split_file(split_file, split_index, len(rows))
    elif not is_split:
        splits = seeded_split(len(rows), val_fraction, seed)
    splits = _with_copies_together(path, rows, splits, is_split)
    used = [(row, split) for row, split in zip(rows, splits, strict=True) if split is not None]
    missing = missing_images(path, [str(row.file) for row, _ in used], skip_missing)
    there = [(row, split) for row, split in used if str(row.file) not in missing]
    targets = [(row.score - low) / (high - low) for row, _ in there]
    table = ScoreTable(
        name or path.stem,
        tuple(row.file for row, _ in there),
        tuple(1 - target if lower_better else target for target in targets),
        tuple(split for _, split in there),
        (low, high),
        lower_better,
    )
    for split in needed:
        if (left := len(table.rows(split))) < 2:
            raise TableError(
                f"{path} leaves {counted(left, 'image')} in the split {split!r}, but 2 or more are needed: add images, "
                "or change the split."
            )
    return table


def _with_copies_together(
    path: Path, rows: Sequence[NamedScore], splits: Sequence[str | None], is_split: bool
) -> list[str | None]:
    together = list(splits)
    there = [index for index, row in enumerate(rows) if row.file.is_file()]
    copies: dict[str, list[int]] = {}
    try:
        for index, sha256 in zip(there, hashes_of([rows[index].file for index in there]), strict=True):
            copies.setdefault(sha256, []).append(index)
    except OSError as error:
        raise TableError(f"{path} names {error.filename!r}, which cannot be read: {error.strerror}.") from error
    for first, *others in copies.values():
        for other in others:
            if not is_split:
                together[other] = together[first]
            elif None not in (splits[first], splits[other]) and splits[other] != splits[first]:
                one, two = rows[first], rows[other]
                raise TableError(
                    f"{path}, lines {one.line} ({splits[first]}) and {two.line} ({splits[other]}): {one.file.name!r} "
                    f"and {two.file.name!r} are the same photo: put copies into one split."
                )
    return together


def seeded_split(count: int, val_fraction: float, seed: int) -> list[str]:
    """Return ``'train'`` or ``'val'`` for each row, drawn by a seed."""
    if not 0 <= val_fraction < 1:
        raise TableError(f"val_fraction must be at least 0 and below 1; got {val_fraction:g}.")
    order = list(range(count))
    random.Random(seed).shuffle(order)
    held_out = set(order[: round(count * val_fraction)])
    return ["val" if row in held_out else "train" for row in range(count)]


def find_score_table(
    scores: str | Path, *, data_root: str | Path = "datasets", seed: int = 0, **options: Any
) -> ScoreTable:
    """Return the scores of a CSV file (a path that exists or has a suffix) or of a data set of pyiqa.

    Args:
        data_root: Folder of pyiqa's ``meta_info`` and the images.
        **options: As for :func:`read_score_table`.
    """
    found: dict[str, Any] = {"path": scores}
    if not (isinstance(scores, Path) or Path(scores).suffix or os.path.exists(scores)):
        from pyiqa import get_dataset_info

        known = get_dataset_info()
        if scores not in known:
            raise TableError(
                f"{scores!r} is neither a CSV file nor a data set of pyiqa's: {nearest(scores, sorted(known))}"
            )
        info = known[scores]
        table, images = (Path(data_root, *Path(info[key]).parts[1:]) for key in ("meta_info_file", "dataroot_target"))
        if not table.is_file():
            raise TableError(
                f"the table of {scores!r} is not at {str(table)!r}: `pyiqa.load_dataset({scores!r}, "
                f"data_root={str(data_root)!r})` downloads it, or name the folder that holds pyiqa's meta_info."
            )
        found = {"path": table, "root": images, "columns": (0, 1, info.get("split_index")), "name": scores}
        found["score_range"] = tuple(info["mos_range"]) if info.get("mos_range") else None
        found["lower_better"] = bool(info.get("lower_better"))
    given = {name: value for name, value in options.items() if value is not None}
    return read_score_table(**{**found, **given}, seed=seed)
