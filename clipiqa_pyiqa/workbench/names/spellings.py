"""The spellings of an image's path, under which an earlier run may have its row."""

import os

from ..sources.addresses import is_remote
from .members import split_name


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
