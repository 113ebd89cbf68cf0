"""The files in a folder and its sub-folders, on disk or in a store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ..errors import ImageError, Kind
from ..images.formats import image_suffixes
from ..images.source import reason
from .stores import in_store, is_remote


def files_below(folder: str | os.PathLike[str], unreadable: list[ImageError] | None = None) -> list[str]:
    """Return the files in a folder and its sub-folders, sorted, without hidden files.

    Links to folders are followed last; each real folder is read once. ``unreadable`` collects folders' errors; if None,
    the first is raised.
    """
    found = list[str]()
    if isinstance(folder, str) and is_remote(folder):
        with in_store(folder) as (fs, path), contextlib.suppress(FileNotFoundError):
            below = sorted(file[len(fs._strip_protocol(path)) :] for file in fs.find(path))
            found = [folder.rstrip("/") + file for file in below if "/." not in file]
        return found

    def refuse(error: OSError) -> None:
        name = os.fsdecode(error.filename)
        problem = ImageError(f"is a folder that cannot be read: {reason(error)}", Kind.UNREADABLE, name)
        if unreadable is None:
            raise problem from error
        unreadable.append(problem)

    linked, seen = [os.fspath(folder)], set[tuple[int, int]]()
    while linked:
        for parent, folders, files in os.walk(linked.pop(0), onerror=refuse):
            status = os.stat(parent)
            if (identity := (status.st_dev, status.st_ino)) in seen:
                folders.clear()
                continue
            seen.add(identity)
            found += [os.path.join(parent, file) for file in sorted(files) if file[0] != "."]
            shown = sorted(name for name in folders if name[0] != ".")
            links = [path for name in shown if os.path.islink(path := os.path.join(parent, name))]
            linked += links
            folders[:] = [name for name in shown if os.path.join(parent, name) not in links]
    return found


def images_in(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the image files in a folder and its sub-folders, sorted. Raises ``ImageError``."""
    suffixes = image_suffixes()
    return (file for file in files_below(folder) if suffix_of(file) in suffixes)


def suffix_of(name: str) -> str:
    return os.path.splitext(name)[1].lower()
