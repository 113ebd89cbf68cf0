"""Images with people's scores, from CSV files and pyiqa's data sets."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import counted, import_pyiqa, nearest
from .csv_files import Columns, TableError, missing_images, read_scores
from .ratings import rated_photos


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

    def check_splits(self, needed: Sequence[str]) -> None:
        """Raise TableError if a split has fewer than two images."""
        for split in needed:
            if (left := len(self.rows(split))) < 2:
                raise TableError(
                    f"{self.name!r} has {counted(left, 'image')} in the split {split!r}, but 2 or more are needed: "
                    "add images, or change the split."
                )


def read_score_table(
    path: str | Path,
    *,
    root: str | Path | None = None,
    columns: Columns = (None, None, None),
    score_range: tuple[float, float] | None = None,
    lower_better: bool | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
    skip_missing: bool = False,
    name: str | None = None,
    needed: Sequence[str] = ("train", "val"),
) -> ScoreTable:
    """Return the images and scores in a CSV file, or the photos in a folder and their stars; no image is decoded.

    Args:
        root: Folder where relative paths start; default the file's folder.
        columns: Names or numbers of the columns of paths, scores and splits; default usual names.
        score_range: Lowest and highest possible score; default those in the table, or one and five stars.
        lower_better: Whether low scores are good; None means no, but a column ``dmos`` needs True or False.
        val_fraction: Share of rows for validation, if there are no splits.
        seed: Seed of the random split.
        skip_missing: Leave out missing images; otherwise raise.
        name: Name of the data set; default the file's name.
        needed: Splits that need at least two images.
    """
    path = Path(path).expanduser()
    given: dict[str, Any] = {"root": root, "columns": columns, "lower_better": lower_better}
    rows = rated_photos(path) if path.is_dir() else read_scores(path, **given)
    scores = [row.score for row in rows]
    low, high = score_range or ((1, 5) if path.is_dir() else (min(scores), max(scores)))
    if not low <= min(scores) < max(scores) <= high:
        raise TableError(
            f"{path} has scores from {min(scores):g} to {max(scores):g}: they must differ, and lie in the range from "
            f"{low:g} to {high:g} (score_range)."
        )
    splits = [row.split for row in rows if row.split is not None] or _draw_splits(len(rows), val_fraction, seed)
    missing = missing_images(path, [str(row.file) for row in rows], skip_missing)
    there = [number for number, row in enumerate(rows) if str(row.file) not in missing]
    targets = [(score - low) / (high - low) for score in scores]
    table = ScoreTable(
        name or path.stem,
        tuple(rows[number].file for number in there),
        tuple(1 - targets[number] if lower_better else targets[number] for number in there),
        tuple(splits[number] for number in there),
        (low, high),
        bool(lower_better),
    )
    table.check_splits(needed)
    return table


def _draw_splits(count: int, val_fraction: float, seed: int) -> list[str]:
    if not 0 <= val_fraction < 1:
        raise TableError(f"val_fraction must be at least 0 and below 1; got {val_fraction:g}.")
    order = list(range(count))
    random.Random(seed).shuffle(order)
    held_out = set(order[: round(count * val_fraction)])
    return ["val" if row in held_out else "train" for row in range(count)]


def find_score_table(
    scores: str | Path, *, data_root: str | Path = "datasets", seed: int = 0, **options: Any
) -> ScoreTable:
    """Return the scores of a CSV file or a folder (a path that exists or has a suffix), or of a data set of pyiqa.

    Args:
        data_root: Folder of pyiqa's ``meta_info`` and the images.
        **options: As for :func:`read_score_table`.
    """
    found: dict[str, Any] = {"path": scores}
    if not (isinstance(scores, Path) or Path(scores).suffix or os.path.exists(scores)):
        known = import_pyiqa().get_dataset_info()
        if scores not in known:
            raise TableError(
                f"{scores!r} is neither a CSV file nor a data set of pyiqa's: {nearest(scores, sorted(known))}"
            )
        info = known[scores]
        table, images = (Path(data_root, *Path(info[key]).parts[1:]) for key in ("meta_info_file", "dataroot_target"))
        if not table.is_file():
            raise TableError(
                f"the table of {scores!r} is not at {str(table)!r}: download it with `pyiqa.load_dataset({scores!r}, "
                f"data_root={str(data_root)!r})`, or pass the folder that holds pyiqa's meta_info as data_root."
            )
        found = {"path": table, "root": images, "columns": (0, 1, info.get("split_index")), "name": scores}
        found["score_range"] = tuple(info["mos_range"]) if info.get("mos_range") else None
        found["lower_better"] = bool(info.get("lower_better"))
    return read_score_table(**{**found, **options}, seed=seed)
