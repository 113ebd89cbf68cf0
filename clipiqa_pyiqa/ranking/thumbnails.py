"""Thumbnails (small copies) of many photos, made once and kept in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from ..errors import ImageError
from ..files.writing import replacing
from ..images.batches import prefetch
from ..images.reader import ImageRecord, read_image
from ..images.source import ImageSource
from ..report.contact_sheet import thumbnail
from ..sources.recorded import images_named
from .picking import file_of

SIDE = 220  # pixels
_QUALITY = 72


def thumbnails(
    paths: Sequence[str],
    folder: Path,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[str]:
    """Make missing thumbnails; return each photo's thumbnail name, empty if the photo cannot be read.

    Args:
        paths: Photos, or images in shards by their names in results.
        folder: The folder of thumbnails.
        workers: Number of threads.
        progress: Called with two numbers: the finished thumbnails, and all thumbnails.
    """
    names = {path: _name(path) for path in paths}
    missing = [path for path, name in names.items() if name and not (folder / name).exists()]

    def make(source: ImageSource) -> ImageRecord:
        record = read_image(source, min_side=1)
        place = folder / names[source.name]
        place.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(record.pixels.permute(1, 2, 0).numpy())  # (3, H, W) -> (H, W, 3)
        with replacing(place) as partial:
            thumbnail(picture, SIDE).save(partial, "JPEG", quality=_QUALITY)
        return record

    done = len(names) - len(missing)
    progress(done, len(names))
    with contextlib.closing(prefetch(make, images_named(missing), workers)) as results:
        for number, (source, made) in enumerate(results, done + 1):
            if isinstance(made, ImageError):
                names[source.name] = ""
            progress(number, len(names))
    return [names[path] for path in paths]


def _name(path: str) -> str:
    """Return a thumbnail's name; empty if the photo does not exist."""
    file, identity = file_of(path), os.path.abspath(path)
    if not file:
        return ""
    if "://" not in file:
        status = os.stat(file)
        identity += f"\0{status.st_size}\0{status.st_mtime_ns}"
    digest = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{digest[:2]}/{digest[2:22]}.jpg"
