"""Names of images in results: ``SHARD::MEMBER``, the spellings of a path, and its file."""

import os
import re

from ..images.formats import VIDEOS
from ..sources.addresses import is_remote
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
    if is_remote(name):
        return []
    full = os.path.abspath(shard or name)
    try:
        relative = os.path.relpath(full)
    except ValueError:  # on another drive of Windows
        return [name]
    end = f"::{member}" if shard else ""
    return [f"{path}{end}" for path in (full, relative, os.path.join(os.curdir, relative))]


def file_of(path: str) -> str:
    """Return the file or shard of a photo; empty if it does not exist on disk. Stores are not asked."""
    file = split_name(path)[0] or path
    return file if is_remote(file) or os.path.isfile(file) else ""
