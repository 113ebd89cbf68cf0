"""Images with people's scores: CSV files, pyiqa's data sets and stars; and photos used in training."""

import base64
import os
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas

from ..errors import CLIPIQAError, FilePath, counted, few, first_of, import_pyiqa, log, nearest, reason
from ..files.csv_files import ColumnNames, check_images, read_opinions
from ..files.names import UNDO
from ..files.reading import hashes_of, open_file, read_bytes
from ..files.xmp import NEW, Rating, XMPError, find_rating
from ..images.formats import image_suffixes
from ..sources.finding import find_inputs
from ..sources.stores import undo_steps
from ..stats.correlation import undefined

_IN_A_JPEG = b"http://ns.adobe.com/xap/1.0/\0"


def finder() -> Callable[[str], str]:
    """Return a function that returns a file's path, its name in any case; ``''``: not there.

    Of photos whose names, or stems, differ only in case, each has its own files.
    """

    @cache
    def listing(folder: str) -> Callable[[str], str]:
        names, ends = os.listdir(folder or "."), tuple(image_suffixes())
        photos = {name for name in names if name.lower().endswith(ends)}
        count = Counter(map(str.lower, photos | {os.path.splitext(photo)[0] for photo in photos}))

        def key(name: str) -> str:
            starts = (name.rsplit(".", suffixes)[0] for suffixes in range(3))
            own = next((start for start in starts if count[start.lower()] > 1), "")
            return own + name[len(own) :].lower()

        found = {key(name): os.path.join(folder, name) for name in names}
        return lambda name: found.get(key(name), "")

    return lambda path: listing(os.path.dirname(path))(os.path.basename(path))


def sidecars(photos: Sequence[str]) -> dict[str, str]:
    """Return photo -> its sidecar: ``a.jpg.xmp``, or else ``a.xmp`` if only one of the photos is called ``a``."""
    stems = {photo: os.path.splitext(photo)[0] for photo in photos}
    sharing, find, found = Counter(map(str.lower, stems.values())), finder(), dict[str, str]()
    for photo, stem in stems.items():
        if sidecar := find(f"{photo}.xmp") or (sharing[stem.lower()] == 1 and find(f"{stem}.xmp")):
            found[photo] = sidecar
    return found


def stars_of(photo: str, sidecar: Rating) -> int:
    """Return 1 to 5, -1 (rejected) or 0 (none): of the sidecar, or else of the XMP in a JPEG. Raises ``XMPError``."""
    if sidecar.text is not None:
        return sidecar.stars
    with open_file(photo) as file:
        head = file.read(1 << 20)
    start = head.find(_IN_A_JPEG)
    if start < 2 or not head.startswith(b"\xff\xd8"):
        return 0
    size = int.from_bytes(head[start - 2 : start], "big")  # of the segment, with these two bytes
    return find_rating(head[start + len(_IN_A_JPEG) : start - 2 + size]).stars


def read_ratings(photos: Sequence[str]) -> dict[str, tuple[int, str, bytes]]:
    """Return photo -> its :func:`stars_of`, their file, and the sidecar's packet.

    Photos with unreadable XMP are left out with a warning.
    """
    beside, found, problems = sidecars(photos), dict[str, tuple[int, str, bytes]](), list[str]()
    for photo in photos:
        place = beside.get(photo, photo)
        try:
            packet = read_bytes(place) if photo in beside else NEW
            found[photo] = stars_of(photo, find_rating(packet)), place, packet
        except (XMPError, OSError) as error:
            problems.append(f"{place!r} {getattr(error, 'reason', '') or f'cannot be read: {reason(error)}'}")
    if problems:
        log.warning(f"left out: {first_of(problems)}")
    return found


def find_stars(photos: Sequence[str]) -> tuple[dict[str, int], set[str]]:
    """Return photo -> its one to five stars, and the photos that have them from ``clipiqa rank --stars``."""
    found, by_machine, untold = dict[str, int](), set[str](), 0
    here = {os.path.realpath(folder) for folder in set(map(os.path.dirname, photos))}
    above = {each for folder in here for each in Path(folder, "a photo").parents}  # of its undo list
    lists = [file for folder in above for file in folder.glob(f"{UNDO}*.jsonl")]
    given = {os.path.realpath(step["place"]): step["stars"] for step in undo_steps(lists)}
    for photo, (stars, place, packet) in read_ratings(photos).items():
        if stars > 0:
            found[photo] = stars
            if given.get(real := os.path.realpath(place)) == str(stars):
                by_machine.add(photo)
            untold += real not in given and packet == find_rating(NEW).changed(NEW, str(stars))
    if untold:
        log.warning(
            f"{counted(untold, 'photo')} may have stars from `clipiqa rank --stars`: without its undo list, "
            "nothing tells"
        )
    return found, by_machine


def rated_photos(folder: Path, with_machine_stars: bool = False) -> pandas.DataFrame:
    """Return ``path`` and ``score`` of a folder's photos with one to five stars.

    Stars from ``clipiqa rank --stars`` that nobody changed do not count, unless ``with_machine_stars`` is set. Raises
    ``CLIPIQAError`` if no photo has stars.
    """
    stars, by_machine = find_stars(photos := find_inputs(folder))
    log.info(f"{len(stars):,} of {counted(len(photos), 'photo')} have one to five stars")
    if by_machine and not with_machine_stars:
        log.warning(
            f"left out: {counted(len(by_machine), 'photo')} with unchanged stars from `clipiqa rank --stars`; to learn "
            "from these too, pass `with_machine_stars`"
        )
        stars = {photo: given for photo, given in stars.items() if photo not in by_machine}
    found = [(os.path.abspath(photo), given) for photo, given in stars.items()]
    if not found:
        raise CLIPIQAError(
            f"no photo in {str(folder)!r} has one to five stars (xmp:Rating): rate some photos, or name a CSV file."
        )
    return pandas.DataFrame(found, columns=["path", "score"], dtype=object).astype({"score": float})


@dataclass(frozen=True)
class ScoreTable:
    """Image files and their scores.

    Attributes:
        frame: ``path``, ``target`` (score in [0, 1], high is good), ``split`` (``'train'``, ``'val'`` or ``'test'``)
            and ``group``; random splits and folds keep groups together.
        score_range: Lowest and highest score, as given.
    """

    name: str
    frame: pandas.DataFrame
    score_range: tuple[float, float]
    lower_better: bool = False

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
    with_machine_stars: bool = False,
) -> ScoreTable:
    """Return the images and scores in a CSV file, or the photos in a folder and their stars; no image is decoded.

    Args:
        root: Folder where relative paths start; default the file's folder.
        columns: Names or numbers of the columns of paths, scores and splits; default usual names.
        score_range: Lowest and highest possible score; default those in the table, or one and five stars.
        lower_better: Whether low scores are good; None means no, but a column ``dmos`` needs True or False.
        group: Name or number of the column of groups, which splits keep together; default a usual name of references.
        with_machine_stars: Also take stars that ``clipiqa rank --stars`` gave.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        frame, usual_range = rated_photos(path, with_machine_stars), (1, 5)
    else:
        frame = read_opinions(path, root=root, columns=columns, lower_better=lower_better, group=group)
        usual_range = min(frame["score"]), max(frame["score"])
    scores, (low, high) = frame["score"], score_range or usual_range
    if not low <= min(scores) < max(scores) <= high:
        raise CLIPIQAError(
            f"{path} has scores from {min(scores):g} to {max(scores):g}: they must differ, and lie in the range from "
            f"{low:g} to {high:g} (the lowest, then the highest)."
        )
    share = (scores - low) / (high - low)
    frame["target"] = 1 - share if lower_better else share
    photos = [digest or path for digest, path in zip(_digests(frame["path"]), frame["path"], strict=True)]
    if again := len(photos) - len({*photos}):
        log.info(f"{counted(again, 'further row')} of photos rated before: each counts, and one photo's stay together")
    groups, joined = None, frame.index.to_series()
    while not joined.equals(groups):  # a photo that several people rated is in one group
        groups = joined
        for alike in (photos, frame.get("group", photos)):
            joined = joined.groupby(alike, sort=False).transform("min")
    frame["group"] = joined.map(frame["group"]) if "group" in frame else joined
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
    check_images(path, frame["path"], ", or leave out the missing images (skip_missing)")
    table = ScoreTable(name or path.stem, frame, (low, high), bool(lower_better))
    table.check_splits(needed)
    return table


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
    """Return a given table, or the scores of a CSV file, a folder or a data set of pyiqa.

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


PHOTO_LIST = Path(__file__).parents[1] / "data" / "mini_photos.bin"
BYTES = 5  # first bytes of each file's SHA-256: one in 270 million other photos matches by chance


def seen_by_mini(paths: Collection[FilePath]) -> list[bool]:
    return [digest in digests_of_mini() for digest in _digests(paths)]


def written_digests(paths: Collection[FilePath]) -> str:
    """Return the files' digests as text, for the metadata of a head or of learned prompts."""
    return base64.b64encode(bytes.fromhex("".join(_digests(paths)))).decode()


def count_learned_from(metric: Any, paths: Collection[FilePath]) -> int:
    """Return how many of the files a metric's head or prompts were learned from; 0 if not known."""
    learned = getattr(metric, "head", None) or getattr(metric, "prompt_learner", None)
    text = learned.metadata.get("trained_on", "") if learned else ""
    known = _split(base64.b64decode(text))
    return sum(digest in known for digest in _digests(paths)) if known else 0


def seen_warning(count: int, images: int) -> str:
    return (
        f"mini was trained on {count:,} of these {images:,} images and their scores, so its agreement with them says "
        "little about other photos: leave these images out by --without-mini-photos."
    )


def look_for_mini_photos(table: ScoreTable, backbone: str, leave_out: bool, needed: Sequence[str]) -> ScoreTable:
    """Log how many photos ``mini`` was trained on; return the table, without them if ``leave_out`` is set."""
    seen = seen_by_mini(table.frame["path"]) if backbone == "mini" else []
    count = sum(seen)
    if count and leave_out:
        table = replace(table, frame=table.frame[[not each for each in seen]])
        log.warning(f"left out: {count:,} images that mini was trained on")
    elif count:
        log.warning(seen_warning(count, len(seen)))
    table.check_splits(needed)
    return table


def _digests(paths: Collection[FilePath]) -> list[str]:
    there = [str(path) for path in paths if os.path.exists(path) and os.access(path, os.R_OK)]  # no path holds \0
    hashes = dict(zip(there, hashes_of(there), strict=True))
    return [hashes.get(str(path), "")[: 2 * BYTES] for path in paths]


@cache
def digests_of_mini() -> frozenset[str]:
    return _split(PHOTO_LIST.read_bytes())


def _split(content: bytes) -> frozenset[str]:
    return frozenset(content.hex(" ", BYTES).split())
