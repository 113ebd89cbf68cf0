"""Images with scores that people gave: from a CSV file, or from the tables of a data set that pyiqa knows."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import counted, nearest
from .csv_files import Columns, TableError, read_scores
from .same_photos import groups_of_copies
from .split_file import read_split_file

_SHOWN = 5  # missing files in a message


@dataclass(frozen=True)
class ScoreTable:
    """Images and their scores.

    Attributes:
        name: of the data set.
        paths: image files, all of which exist.
        targets: the scores, in [0, 1], high is good.
        splits: of each image, one of ``SPLITS``.
        score_range: what was mapped to [0, 1], lowest first.
        lower_better: whether low scores were good.
        skipped: files that were named and are missing.
    """

    name: str
    paths: tuple[Path, ...]
    targets: tuple[float, ...]
    splits: tuple[str, ...]
    score_range: tuple[float, float]
    lower_better: bool = False
    skipped: tuple[str, ...] = ()

    def rows(self, split: str) -> list[int]:
        """Indices of the images in a split."""
        return [index for index, own in enumerate(self.splits) if own == split]


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
    unsplit: str | None = None,
    validation: Mapping[str, Any] | None = None,
) -> ScoreTable:
    """Read a CSV file of images and scores, and check everything that can be checked before an image is read.

    Args:
        path: the CSV file, with a header line.
        root: folder to which the paths in it are relative; default the CSV file's own.
        columns: names or numbers of the columns of paths, scores and splits; by default they are found by their usual
            names, and without a column ``split`` the rows are split by ``seed``.
        score_range: what the lowest and the highest possible score are; default the lowest and highest in the table.
        lower_better: whether a low score is good, as a DMOS is.
        val_fraction: share of the rows to validate on, if no column splits them; copies of a photo stay together.
        seed: of that split.
        skip_missing: leave out files that are missing, in place of an error.
        name: of the data set; default the file's.
        needed: splits that must hold two images at least.
        split_file: pyiqa's pickle of splits, in place of a column; see :func:`~.split_file.read_split_file`. Rows in no
            split are left out.
        split_index: which of the splits in that file.
        unsplit: the split of every row, if nothing splits them; None draws by ``seed``.
        validation: another table to validate on, as arguments of this function: its rows of the split ``'val'`` (all,
            if nothing splits them) take the place of this one's, and of this one the rows of ``'train'`` count.

    Raises:
        TableError: the file or a column is missing; a score is no number, out of range, or all are equal; an image is
            missing; or there is nothing to train or to validate on.
    """
    path = Path(path).expanduser()
    named = read_scores(path, root=root, columns=columns, with_splits=split_file is None)
    files, scores = named.files, named.scores
    low, high = score_range or (min(scores), max(scores))
    if not low < high:
        what = f"score_range is {low:g} to {high:g}" if score_range else f"every score in {path} is {low:g}"
        raise TableError(f"{what}: there is nothing to learn without a range of scores.")
    for line, score in zip(named.lines, scores, strict=True):
        if not low <= score <= high:
            raise TableError(f"{path}, line {line}: the score {score:g} is outside the range of {low:g} to {high:g}.")
    if min(scores) == max(scores):
        raise TableError(f"every score in {path} is {scores[0]:g}: there is nothing to learn.")
    targets = [(score - low) / (high - low) for score in scores]
    targets = [1 - target for target in targets] if lower_better else targets
    splits: list[str | None]
    if split_file is not None:
        splits = list(read_split_file(split_file, split_index, len(files)))
    else:
        unsplit = "train" if validation is not None else unsplit
        unsplit_rows = [unsplit] * len(files) if unsplit else seeded_split(len(files), val_fraction, seed)
        splits = list(named.splits or unsplit_rows)
    given = named.splits is not None or split_file is not None
    for first, *others in groups_of_copies(files):
        for other in others:
            if not given:
                splits[other] = splits[first]
            elif None not in (splits[first], splits[other]) and splits[other] != splits[first]:
                raise TableError(
                    f"{path}, lines {named.lines[first]} ({splits[first]}) and {named.lines[other]} ({splits[other]}): "
                    f"{files[first].name!r} and {files[other].name!r} are the same photo, which cannot be learned from "
                    "and reported on: put its copies into one split."
                )
    used = [index for index, split in enumerate(splits) if split is not None]
    missing = [str(files[index]) for index in used if not os.path.isfile(files[index])]
    if missing and not skip_missing:
        shown = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise TableError(
            f"{len(missing)} of {counted(len(used), 'image')} named in {path} cannot be found "
            f"({shown}): correct the paths or their "
            "root folder, or pass --skip-missing to train without them."
        )
    kept = [index for index in used if os.path.isfile(files[index])]
    table = ScoreTable(
        name or path.stem,
        tuple(files[index] for index in kept),
        tuple(targets[index] for index in kept),
        tuple(split for index in kept if (split := splits[index]) is not None),
        (low, high),
        lower_better,
        tuple(missing),
    )
    if validation is not None:
        own = {"skip_missing": skip_missing, "unsplit": "val", "needed": ("val",)}
        table = _validated_on(table, read_score_table(**{**validation, **own}))
    for split in needed:
        if (left := len(table.rows(split))) < 2:
            raise TableError(
                f"{path} leaves {['no image', 'one image'][left]} in the split {split!r}, but two or more are needed "
                f"in {' and in '.join(map(repr, needed))}: add images, or change the split."
            )
    return table


def _validated_on(table: ScoreTable, other: ScoreTable) -> ScoreTable:
    """The rows to train on of one table and those to validate on of another; each keeps its own range."""
    parts = [(table, row) for row in table.rows("train")] + [(other, row) for row in other.rows("val")]
    return replace(
        table,
        paths=tuple(part.paths[row] for part, row in parts),
        targets=tuple(part.targets[row] for part, row in parts),
        splits=tuple(part.splits[row] for part, row in parts),
        skipped=table.skipped + other.skipped,
    )


def seeded_split(count: int, val_fraction: float, seed: int) -> list[str]:
    """``'train'`` or ``'val'`` for each row, by a seed alone, the same on every machine."""
    if not 0 <= val_fraction < 1:
        raise TableError(f"the share to validate on must lie between 0 and 1, but is {val_fraction:g}.")
    order = list(range(count))
    random.Random(seed).shuffle(order)
    held_out = set(order[: round(count * val_fraction)])
    return ["val" if index in held_out else "train" for index in range(count)]


def find_score_table(
    scores: str | Path, *, data_root: str | Path = "datasets", seed: int = 0, **options: Any
) -> ScoreTable:
    """Read the scores in a CSV file (what exists or has a suffix), or else those of a data set of pyiqa's.

    Args:
        scores: the file, or the name of the data set.
        data_root: as ``root`` of :func:`known_data_set`.
        seed: as for :func:`read_score_table`, as are all other options; those that are None are left to it.
    """
    is_file = isinstance(scores, Path) or Path(scores).suffix or os.path.exists(scores)
    found = {"path": scores} if is_file else known_data_set(str(scores), data_root)
    given = {name: value for name, value in options.items() if value is not None}
    return read_score_table(**{**found, **given}, seed=seed)


def known_data_set(name: str, root: str | Path = "datasets") -> dict[str, Any]:
    """What pyiqa knows of a data set, as arguments of :func:`read_score_table`.

    Args:
        name: as in pyiqa, such as ``'koniq10k'``.
        root: the folder that holds pyiqa's ``meta_info`` and the images; nothing is downloaded.

    Raises:
        TableError: pyiqa does not know it, or its table is not there.
    """
    from pyiqa import get_dataset_info

    known = get_dataset_info()
    if name not in known:
        raise TableError(f"{name!r} is neither a CSV file nor a data set of pyiqa's: {nearest(name, sorted(known))}")
    info = known[name]
    table, images = (Path(root, *Path(info[key]).parts[1:]) for key in ("meta_info_file", "dataroot_target"))
    if not os.path.isfile(table):
        raise TableError(
            f"the table of {name!r} is not at {str(table)!r}: `pyiqa.load_dataset({name!r}, data_root={str(root)!r})` "
            "downloads it, or name the folder that holds pyiqa's meta_info."
        )
    return {
        "path": table,
        "root": images,
        "columns": (0, 1, info.get("split_index")),
        "score_range": tuple(info["mos_range"]) if info.get("mos_range") else None,
        "lower_better": bool(info.get("lower_better", False)),
        "name": name,
    }
