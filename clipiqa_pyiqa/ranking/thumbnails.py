"""Thumbnails of many photos, each made once and kept in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageOps

from ..errors import CLIPIQAError, ImageError
from ..files.writing import replacing
from ..images.batches import prefetch
from ..images.memory import set_aside
from ..report.contact_sheet import thumbnail

SIDE = 220  # pixels
_QUALITY = 72


class _Made(str):
    """The name of a thumbnail that was made: what is left of a picture that was read, and takes no memory."""

    shape = (0,)


def thumbnails(
    paths: Sequence[str],
    folder: Path,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[str]:
    """Make what is lacking, and say which file shows which photo.

    Args:
        paths: The photos.
        folder: Where thumbnails are kept; one made by an earlier run of the same file is used again.
        workers: Threads.
        progress: Called with how many are done, of how many.

    Returns:
        A name in the folder for each photo; empty where it cannot be read.
    """

    def made(path: str) -> _Made:
        try:
            name = _name(path)
            place = folder / name
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                picture = _small(path)
                with replacing(place) as partial:
                    picture.save(partial, "JPEG", quality=_QUALITY)
            return _Made(name)
        except ImageError:
            raise
        except (OSError, ValueError, CLIPIQAError) as error:
            raise ImageError(str(error)) from error

    names = []
    with contextlib.closing(prefetch(made, paths, workers)) as results:
        for number, (_, found) in enumerate(results, 1):
            names.append("" if isinstance(found, ImageError) else str(found))
            progress(number, len(paths))
    return names


def _name(path: str) -> str:
    """By path, size and time: a photo that has changed gets a new one."""
    status = os.stat(path)
    said = f"{os.path.abspath(path)}\0{status.st_size}\0{status.st_mtime_ns}".encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(said).hexdigest()
    return f"{digest[:2]}/{digest[2:22]}.jpg"


def _small(path: str) -> Image.Image:
    """JPEGs are decoded at a fraction of their size, which is several times faster."""
    with Image.open(path) as image:
        if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            set_aside(path, image.width, image.height)
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            return upright
    return thumbnail(path, SIDE)
