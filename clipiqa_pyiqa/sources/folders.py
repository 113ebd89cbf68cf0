"""The files in a folder and its sub-folders, on disk or in a store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ..errors import ImageError, Kind
from ..images.formats import image_suffixes
from ..images.source import reason
from .stores import explained, is_remote, store


def files_below(folder: str | os.PathLike[str], unreadable: list[ImageError] | None = None) -> list[str]:
    """Return the files in a folder and its sub-folders, sorted, without hidden files.

    The list ``unreadable`` collects the errors of folders; if None, the first error is raised.
    """

    def note(error: OSError) -> None:
        why = f"is a folder that cannot be read: {reason(error)}"
        problem = ImageError(why, Kind.UNREADABLE, str(error.filename))
        if unreadable is None:
            raise problem
        unreadable.append(problem)

    found = []
    if isinstance(folder, str) and is_remote(folder):
        with explained(folder), contextlib.suppress(FileNotFoundError):
            fs, path = store(folder)
            below = sorted(file[len(fs._strip_protocol(path)) :] for file in fs.find(path))
            found = [folder.rstrip("/") + file for file in below if "/." not in file]
        return found
    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(parent, name) for name in sorted(files) if not name.startswith(".")]
    return found


def images_in(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the image files in a folder and its sub-folders, sorted. Raises ``ImageError``."""
    suffixes = image_suffixes()
    return (file for file in files_below(folder) if suffix_of(file) in suffixes)


def suffix_of(name: str) -> str:
    return os.path.splitext(name)[1].lower()
