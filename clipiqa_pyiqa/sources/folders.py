"""The files in a folder and its sub-folders, on disk or in a store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ..errors import ImageError, Kind
from ..images.formats import image_suffixes
from ..images.source import reason
from .stores import as_shard_error, is_remote, store


def files_below(folder: str | os.PathLike[str], unreadable: list[ImageError] | None = None) -> list[str]:
    """Return the files in a folder and its sub-folders, sorted, without hidden files.

    Links to folders are followed last; each real folder is read once. ``unreadable`` collects folders' errors; if None,
    the first is raised.
    """
    found = list[str]()
    if isinstance(folder, str) and is_remote(folder):
        with as_shard_error(folder), contextlib.suppress(FileNotFoundError):
            fs, path = store(folder)
            below = sorted(file[len(fs._strip_protocol(path)) :] for file in fs.find(path))
            found = [folder.rstrip("/") + file for file in below if "/." not in file]
        return found
    folders, linked, seen = [os.fspath(folder)], list[str](), set[tuple[int, int]]()
    while folders or linked:
        parent = folders.pop() if folders else linked.pop(0)
        try:
            status = os.stat(parent)
            if (identity := (status.st_dev, status.st_ino)) in seen:
                continue
            seen.add(identity)
            with os.scandir(parent) as entries:
                inside = sorted(
                    (entry.name, entry.path, entry.is_symlink(), entry.is_dir(follow_symlinks=False))
                    for entry in entries
                    if entry.name[0] != "."
                )
        except OSError as error:
            problem = ImageError(f"is a folder that cannot be read: {reason(error)}", Kind.UNREADABLE, parent)
            if unreadable is None:
                raise problem from error
            unreadable.append(problem)
            continue
        below = list[str]()
        for _, path, is_link, is_folder in inside:
            (linked if is_link and os.path.isdir(path) else below if is_folder else found).append(path)
        folders += reversed(below)
    return found


def images_in(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the image files in a folder and its sub-folders, sorted. Raises ``ImageError``."""
    suffixes = image_suffixes()
    return (file for file in files_below(folder) if suffix_of(file) in suffixes)


def suffix_of(name: str) -> str:
    return os.path.splitext(name)[1].lower()
