"""Thumbnails of many photos, each made once and kept in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageOps

from ..errors import CLIPIQAError, ImageError
from ..files.writing import replacing
from ..images.batches import prefetch
from ..images.memory import set_aside
from ..images.reader import read_image
from ..images.source import ImageSource
from ..report.contact_sheet import thumbnail
from ..sources.members import Entry
from ..sources.recorded import images_named, split_name

SIDE = 220  # pixels
_QUALITY = 72


class _Made(str):
    """Name of a thumbnail that was made; in place of a picture, of which it takes no memory."""

    shape = (0,)


def thumbnails(
    paths: Sequence[str],
    folder: Path,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[str]:
    """Make the thumbnails that are missing.

    Args:
        paths: The photos; also images in shards, as results name them.
        folder: Where thumbnails are kept; one made by an earlier run of the same file is used again.
        workers: Threads.
        progress: Called with how many are done, of how many.

    Returns:
        A name in the folder for each photo; empty where it cannot be read.
    """
    names = {path: _name(path) for path in paths}
    found = {path: name if name and (folder / name).exists() else "" for path, name in names.items()}

    def made(source: ImageSource) -> _Made:
        place = folder / names[source.name]
        try:
            picture = _small(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as partial:
                picture.save(partial, "JPEG", quality=_QUALITY)
        except ImageError:
            raise
        except (OSError, ValueError, CLIPIQAError) as error:
            raise ImageError(str(error)) from error
        return _Made(names[source.name])

    missing = [path for path, name in found.items() if names[path] and not name]
    done = len(found) - len(missing)
    progress(done, len(found))
    with contextlib.closing(prefetch(made, images_named(missing), workers)) as results:
        for number, (source, name) in enumerate(results, done + 1):
            found[source.name] = "" if isinstance(name, ImageError) else name
            progress(number, len(found))
    return [found[path] for path in paths]


def file_of(path: str) -> str:
    """Return the file of a photo, which for an image in a shard is the shard; empty if there is none."""
    file = split_name(path)[0] or path
    return file if "://" in file or os.path.isfile(file) else ""


def _name(path: str) -> str:
    """Return a name by path, size and time, so that a photo that has changed gets a new one; empty if it is gone."""
    file, said = file_of(path), os.path.abspath(path)
    if not file:
        return ""
    if "://" not in file:
        status = os.stat(file)
        said += f"\0{status.st_size}\0{status.st_mtime_ns}"
    digest = hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{digest[:2]}/{digest[2:22]}.jpg"


def _small(source: ImageSource) -> Image.Image:
    """Return the small picture; JPEGs are decoded at a fraction of their size, which is several times faster."""
    content = source.read()
    with Image.open(io.BytesIO(content)) as image:
        if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            set_aside(source.name, image.width, image.height)
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            return upright
    record = read_image(Entry(source.name, content), min_side=1)
    return thumbnail(Image.fromarray(record.pixels.permute(1, 2, 0).numpy()), SIDE)  # (3, H, W) -> (H, W, 3)
