"""Paths as users give them: one or several, with wildcards, and the files that match."""

import glob
import os
from collections.abc import Iterable
from typing import Any

from .addresses import is_remote
from .stores import in_store


def each_of(one_or_several: Any) -> Iterable[Any]:
    """Return several things as they are, and one thing, such as a path, in a list."""
    if isinstance(one_or_several, str | os.PathLike) or not isinstance(one_or_several, Iterable):
        return [one_or_several]
    return one_or_several


def matches_of(name: str) -> list[str]:
    """Return the files and folders, on disk or in a store, that match a name with wildcards."""
    if not is_remote(name):
        return sorted(glob.glob(name, recursive=True))
    with in_store(name) as (fs, path):
        return [fs.unstrip_protocol(match) for match in sorted(fs.glob(path))]
