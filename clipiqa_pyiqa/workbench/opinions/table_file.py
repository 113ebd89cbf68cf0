"""Images with people's scores: CSV files and pyiqa's data sets; and photos used in training."""

import base64
import os
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...files.reading import FileHashes
from ...logger import log
from ...pyiqa_package import import_pyiqa
from ...text import counted, few, nearest
from ..files.csv_files import check_images_exist
from ..stats.correlation import undefined
from .opinion_csv import ColumnNames, read_opinions


@dataclass(frozen=True)
class ScoreTable:
    """Image files and their scores.

    Attributes:
        frame: ``path``, ``target`` (score in [0, 1], high is good), ``split`` (``'train'``, ``'val'`` or ``'test'``)
            and ``group``; random splits and folds keep groups together. Targets of held-out images may lie outside of
            [0, 1] if the range is that of the training images.
        score_range: Lowest and highest score, as given.
        hashes: SHA-256 of the files, so that a run reads each only once for it.
    """

    name: str
    frame: pandas.DataFrame
    score_range: tuple[float, float]
    lower_better: bool = False
    hashes: FileHashes = field(default_factory=FileHashes, compare=False, repr=False)

    def part(self, split: str) -> pandas.DataFrame:
        return self.frame[self.frame["split"] == split]

    def check_splits(self, needed: Sequence[str]) -> None:
        for split in needed:
            opinions = self.part(split)["target"]
            if why := undefined(opinions, opinions):
                raise CLIPIQAError(
                    f"split {split!r} of {self.name!r} cannot be used: {why}; change the split, or val_fraction."
                )


def read_score_table(
    path: FilePath,
    *,
    root: str | Path | None = None,
    columns: ColumnNames = (None, None, None),
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
        root: Folder where relative paths start; default the file's folder.
        columns: Names or numbers of the columns of paths, scores and splits; default usual names.
        score_range: Lowest and highest possible score; default those of the training images.
        lower_better: Whether low scores are good; None means no, but a column ``dmos`` needs True or False.
        group: Name or number of the column of groups, which splits keep together; default a usual name of references.
    """
    path = Path(path).expanduser()
    frame = read_opinions(path, root=root, columns=columns, lower_better=lower_better, group=group)
    hashes = FileHashes()
    frame["group"] = _groups(frame, hashes)
    if "split" not in frame:
        frame["split"] = "train"
        frame.loc[draw_groups(frame["group"], val_fraction, seed), "split"] = "val"
    if several := (frame.groupby("group")["split"].nunique() > 1).sum():
        log.warning(f"held-out images tell less: splits share {counted(several, 'group')} of one photo or scene")
    if skip_missing:
        missing = frame["path"][~frame["path"].map(os.path.isfile)]
        frame = frame.drop(index=missing.index)
        if len(missing):
            log.warning(f"left out: {counted(len(missing), 'missing image')}: {few(missing)}")
    low, high = score_range or _range_of_training(path, frame)
    if score_range and not low <= frame["score"].min() < frame["score"].max() <= high:
        raise CLIPIQAError(
            f"{path} has scores from {frame['score'].min():g} to {frame['score'].max():g}: they must differ, and lie "
            f"in the range from {low:g} to {high:g} (the lowest, then the highest)."
        )
    check_images_exist(path, frame["path"], ", or leave out the missing images (skip_missing)")
    share = (frame["score"] - low) / (high - low)
    frame["target"] = 1 - share if lower_better else share
    table = ScoreTable(name or path.stem, frame, (low, high), bool(lower_better), hashes)
    table.check_splits(needed)
    return table


def _range_of_training(path: Path, frame: pandas.DataFrame) -> tuple[float, float]:
    """Return the lowest and highest training score: others must not tell what is learned."""
    scores = frame["score"][frame["split"] == "train"]
    if scores.empty:
        scores = frame["score"]
    if scores.nunique() < 2:
        raise CLIPIQAError(
            f"the {counted(len(scores), 'training score')} of {path} must differ, so that there is something to learn."
        )
    return scores.min(), scores.max()


def _groups(frame: pandas.DataFrame, hashes: FileHashes) -> pandas.Series:
    """Return the group of each row: that of its column, joined if a photo (several people may rate one) is in two."""
    digests = _digests(frame["path"], hashes)
    photos = [digest or path for digest, path in zip(digests, frame["path"], strict=True)]
    again = len(photos) - len(set(photos))
    if again:
        log.info(f"{counted(again, 'further row')} of photos rated before: each counts, and one photo's stay together")
    groups, joined = None, frame.index.to_series()
    while not joined.equals(groups):
        groups = joined
        for alike in (photos, frame.get("group", photos)):
            joined = joined.groupby(alike, sort=False).transform("min")
    return joined.map(frame["group"]) if "group" in frame else joined


def draw_groups(groups: pandas.Series, fraction: float, seed: int) -> list[int]:
    """Return the index of random rows: whole groups, about ``fraction`` of all rows."""
    members = list(groups.groupby(groups, sort=False).groups.values())
    random.Random(seed).shuffle(members)
    drawn = list[int]()
    for rows in members:
        if len(drawn) + len(rows) / 2 <= len(groups) * fraction:
            drawn.extend(rows)
    return drawn


def find_score_table(scores: ScoreTable | FilePath, *, data_root: FilePath = "datasets", **options: Any) -> ScoreTable:
    """Return a given table, or the scores of a CSV file or of a data set of pyiqa.

    Args:
        scores: A path exists or has a suffix; any other text names a data set.
        data_root: Folder of pyiqa's ``meta_info`` and the images.
        **options: As for :func:`read_score_table`.
    """
    if isinstance(scores, ScoreTable):
        return scores
    if isinstance(scores, Path) or Path(scores).suffix or os.path.exists(scores):
        return read_score_table(scores, **options)
    known = import_pyiqa().get_dataset_info()
    if scores not in known:
        raise CLIPIQAError(
            f"{scores!r} is neither a CSV file nor a data set of pyiqa's: {nearest(str(scores), sorted(known))}"
        )
    info = known[scores]
    table = pyiqa_path(info["meta_info_file"], data_root)
    if not table.is_file():
        raise CLIPIQAError(
            f"the table of {scores!r} is not at {str(table)!r}: download it with `pyiqa.load_dataset({scores!r}, "
            f"data_root={str(data_root)!r})`, or pass the folder that holds pyiqa's meta_info as data_root."
        )
    first = int(info["type"] == "GeneralFRDataset")  # the image's column: a reference comes first
    usual = {
        "root": pyiqa_path(info["dataroot_target"], data_root),
        "columns": (first, first + 1, info.get("split_index")),
        "name": scores,
        "group": 0 if first else None,
        "score_range": info.get("mos_range"),
        "lower_better": bool(info.get("lower_better")),
    }
    return read_score_table(table, **{**usual, **options})


def pyiqa_path(path: FilePath, data_root: FilePath) -> Path:
    """Return a path of pyiqa's, with ``./datasets`` at its start replaced by ``data_root``."""
    parts = Path(path).parts  # without the './'
    if parts[:1] == ("datasets",):
        path = Path(data_root, *parts[1:])
    return Path(path).expanduser()


PHOTO_LIST = Path(__file__).parents[2] / "data" / "mini_photos.bin"
BYTES = 5  # first bytes of each file's SHA-256: one in 270 million other photos matches by chance


def seen_by_mini(paths: Collection[FilePath], hashes: FileHashes) -> list[bool]:
    return [digest in digests_of_mini() for digest in _digests(paths, hashes)]


def written_digests(paths: Collection[FilePath], hashes: FileHashes) -> str:
    """Return the files' digests as text, for the metadata of a head or of learned prompts."""
    return base64.b64encode(bytes.fromhex("".join(_digests(paths, hashes)))).decode()


def count_learned_from(metric: Any, paths: Collection[FilePath], hashes: FileHashes) -> int:
    """Return how many of the files a metric's head or prompts were learned from; 0 if not known."""
    learned = getattr(metric, "head", None) or getattr(metric, "prompt_learner", None)
    text = learned.metadata.get("trained_on", "") if learned else ""
    known = _split(base64.b64decode(text))
    return sum(digest in known for digest in _digests(paths, hashes)) if known else 0


def seen_warning(count: int, images: int) -> str:
    return (
        f"mini was trained on {count:,} of these {images:,} images and their scores, so its agreement with them says "
        "little about other photos: leave these images out by --without-mini-photos."
    )


def look_for_mini_photos(table: ScoreTable, backbone: str, leave_out: bool, needed: Sequence[str]) -> ScoreTable:
    """Log how many photos ``mini`` was trained on; return the table, without them if ``leave_out`` is set."""
    seen = seen_by_mini(table.frame["path"], table.hashes) if backbone == "mini" else []
    count = sum(seen)
    if count and leave_out:
        table = replace(table, frame=table.frame[[not each for each in seen]])
        log.warning(f"left out: {count:,} images that mini was trained on")
    elif count:
        log.warning(seen_warning(count, len(seen)))
    table.check_splits(needed)
    return table


def _digests(paths: Collection[FilePath], hashes: FileHashes) -> list[str]:
    there = [str(path) for path in paths if os.path.exists(path) and os.access(path, os.R_OK)]  # no path holds \0
    known = dict(zip(there, hashes.of(there), strict=True))
    return [known.get(str(path), "")[: 2 * BYTES] for path in paths]


@cache
def digests_of_mini() -> frozenset[str]:
    return _split(PHOTO_LIST.read_bytes())


def _split(content: bytes) -> frozenset[str]:
    return frozenset(content.hex(" ", BYTES).split())
