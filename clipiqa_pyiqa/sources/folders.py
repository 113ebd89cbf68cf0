"""The image files in a folder and its sub-folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from ..errors import Kind
from ..images.formats import image_suffixes, unreadable_suffixes
from ..images.source import NoImage, reason


def images_in(
    folder: str | os.PathLike[str], unreadable: list[NoImage] | None = None, skipped: Counter[str] | None = None
) -> Iterator[str]:
    """The image files in a folder and its sub-folders, by suffix, sorted; hidden ones are skipped.

    Args:
        folder: The folder.
        unreadable: Receives the folders that cannot be read.
        skipped: Counts, by suffix, the photos in formats that are not read.

    Raises:
        ImageError: A folder cannot be read, and ``unreadable`` is None.
    """
    suffixes, others = image_suffixes(), unreadable_suffixes()

    def note(error: OSError) -> None:
        found = NoImage(error.filename, f"is a folder that cannot be read: {reason(error)}", Kind.UNREADABLE)
        if unreadable is None:
            found.read()
        else:
            unreadable.append(found)

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            suffix = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if suffix in suffixes:
                yield os.path.join(parent, name)
            elif skipped is not None and suffix in others:
                skipped[suffix] += 1
