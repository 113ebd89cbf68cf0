"""Names of images in shards, ``SHARD::MEMBER``: their parts, and the file that holds an image."""

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


def file_of(path: str) -> str:
    """Return the file or shard of a photo; empty if it does not exist on disk. Stores are not asked."""
    file = split_name(path)[0] or path
    return file if is_remote(file) or os.path.isfile(file) else ""
