"""Names of images in results: ``SHARD::MEMBER``, the spellings of a path, and the images that names stand for."""

import os
import re
from collections.abc import Iterable, Iterator

from ...errors import CLIPIQAError
from ...files.printable import printable
from ...text import reason
from ..images.formats import VIDEOS
from ..images.image import Image, NoImage
from ..sources.finding import shard_class
from ..sources.image_files import image_at
from ..sources.shards import ARCHIVES, TABLES

_SHARD_SUFFIXES = "|".join(map(re.escape, (*ARCHIVES, *TABLES, *VIDEOS)))
_MEMBER = re.compile(f"(.+?(?:{_SHARD_SUFFIXES}))::(.+)", re.IGNORECASE | re.DOTALL)


def split_name(name: str) -> tuple[str, str]:
    """Return shard and member of an image's name; the shard of an image in no shard is ``''``."""
    parts = _MEMBER.fullmatch(name)
    return (parts[1], parts[2]) if parts else ("", name)


def spellings(name: str) -> list[str]:
    """Return a local image's name with its path absolute, relative to the working directory, and relative with ``./``.

    A member of a shard has the shard's path; an address in a store has no other spelling.
    """
    shard, member = split_name(name)
    if "://" in name:
        return []
    full = os.path.abspath(shard or name)
    try:
        relative = os.path.relpath(full)
    except ValueError:  # on another drive of Windows
        return [name]
    end = f"::{member}" if shard else ""
    return [f"{path}{end}" for path in (full, relative, os.path.join(os.curdir, relative))]


def file_of(path: str) -> str:
    """Return the file or shard of a photo; empty if the file does not exist."""
    file = split_name(path)[0] or path
    return file if "://" in file or os.path.isfile(file) else ""


def images_named(names: Iterable[str]) -> Iterator[Image]:
    """Yield the image of each name in results, shard by shard; a missing image is a ``NoImage``."""
    names_by_shard = dict[str, list[str]]()
    for name in dict.fromkeys(names):
        names_by_shard.setdefault(split_name(name)[0], []).append(name)
    for shard, names_in_shard in names_by_shard.items():
        if shard:
            yield from _images_in_shard(shard, names_in_shard)
        else:
            yield from map(image_at, names_in_shard)


def _images_in_shard(shard: str, names: list[str]) -> Iterator[Image]:
    rows = []
    if shard.lower().endswith(TABLES):
        members = [split_name(name)[1] for name in names]
        rows = [{int(member) for member in members if member.isdecimal()}]
    missing = dict.fromkeys(names)
    why = "is not in its shard"
    try:
        for image in shard_class(shard)(shard).entries(*rows):
            name = printable(image.name)
            if name in missing:
                missing.pop(name)
                image.name = name
                yield image
            if not missing:
                break
    except (CLIPIQAError, OSError) as error:
        why = f"cannot be read from its shard: {getattr(error, 'reason', '') or reason(error)}"
    for name in missing:
        yield NoImage(name, why)
