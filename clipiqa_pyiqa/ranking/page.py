"""A web page that sorts, filters and shows the photos of a score file."""

import contextlib
import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from ..datasets.score_table import read_ratings
from ..errors import AnySize, CLIPIQAError, FilePath, ImageError, Progress, counted, silent
from ..files.names import PAGE, PAGE_MARK, THUMBNAILS, printable
from ..files.writing import check_folder, replacing, write_text
from ..images.batches import prefetch
from ..images.image import File, Image
from ..images.reader import ImageRecord
from ..report.html import render
from ..report.pictures import thumbnail
from ..results.columns import metric_line
from ..results.scores import find_direction
from ..sources.finding import file_of, images_named
from .photos import Photos

SIDE = 220  # pixels


def thumbnails(paths: Sequence[str], folder: Path, workers: int | None, progress: Progress) -> dict[str, str]:
    """Make missing thumbnails; return photo -> its thumbnail's name, empty if the photo cannot be read."""
    names = {path: _name(path) for path in paths}
    missing = [path for path, name in names.items() if name and not (folder / name).exists()]

    def make(source: Image) -> ImageRecord:
        record = source.load(AnySize())
        place = folder / names[source.name]
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as partial:
            thumbnail(record.picture, SIDE).save(partial, "JPEG", quality=72)
        return record

    done = len(names) - len(missing)
    progress(done, len(names))
    with contextlib.closing(prefetch(make, images_named(missing), workers)) as results:
        for number, (source, made) in enumerate(results, done + 1):
            if isinstance(made, ImageError):
                names[source.name] = ""
            progress(number, len(names))
    return names


def _name(path: str) -> str:
    """Return a thumbnail's name; empty if the photo does not exist."""
    if not (file := file_of(path)):
        return ""
    identity = f"{os.path.abspath(path)}\0{File(file).stamp()}"
    digest = hashlib.sha256(os.fsencode(identity)).hexdigest()
    return f"{digest[:2]}/{digest[2:22]}.jpg"


def write_browser(
    photos: Photos,
    folder: FilePath,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> tuple[Path, list[str]]:
    """Write ``browse.html`` and thumbnails into a folder; return the page, and the photos that cannot be read.

    Args:
        photos: The photos, in the order in which the page opens.
    """
    folder = check_folder(folder)
    is_ours = (folder / PAGE).is_file() and PAGE_MARK in (folder / PAGE).read_bytes()
    check_folder(folder, [PAGE], overwrite=overwrite or is_ours)
    paths = list(map(photos.path, photos.scores.frame.index))
    if not any(map(file_of, paths)):
        raise CLIPIQAError(
            f"none of {counted(len(paths), 'photo')} exists, such as {paths[0]!r}: pass their folder as `root`."
        )
    small = thumbnails(paths, folder / THUMBNAILS, workers, progress)
    ratings = read_ratings(list(filter(os.path.isfile, paths)))
    text = render(
        __package__,
        "browse.html.j2",
        title=f"{counted(len(paths), 'photo')} by {photos.by}",
        columns=photos.scores.names,
        by=photos.by,
        metric=metric_line(list(photos.scores.columns.values())) or Path(photos.scores.file).name,
        direction=photos.direction,
        data={
            "by": photos.by,
            "lowIsGood": _low_is_good(photos),
            "names": list(map(printable, photos.scores.frame.index)),
            "paths": [printable(os.path.abspath(path)) for path in paths],
            "links": [_link(path, folder, small[path]) for path in paths],
            "small": [small[path] for path in paths],
            "ratings": [ratings[path][0] if path in ratings else 0 for path in paths],
            "moments": photos.numbers(photos.scores.frame.index),
            "scores": {
                name: [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]
                for name, values in photos.scores.frame.items()
            },
        },
    )
    write_text(folder / PAGE, text)
    return folder / PAGE, [path for path in paths if not small[path]]


def _low_is_good(photos: Photos) -> list[str]:
    found = {photos.by: photos.direction}
    for name in photos.scores.names:
        with contextlib.suppress(CLIPIQAError):
            found.setdefault(name, find_direction([photos.scores], name))
    return [name for name, direction in found.items() if direction.lower_better]


def _link(path: str, folder: Path, small: str) -> str:
    if not os.path.isfile(path):
        return f"{THUMBNAILS}/{small}"
    relative = os.path.relpath(os.path.realpath(path), folder)
    return quote(os.fsencode(relative.replace(os.sep, "/")))
