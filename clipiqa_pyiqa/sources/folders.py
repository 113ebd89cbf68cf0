"""The image files in a folder and its sub-folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from ..errors import ImageError, Kind
from ..images.formats import image_suffixes, unreadable_suffixes
from ..images.source import reason


def images_in(
    folder: str | os.PathLike[str],
    unreadable: list[ImageError] | None = None,
    skipped: Counter[str] | None = None,
) -> Iterator[str]:
    """Yield the image files in a folder and its sub-folders, sorted, without hidden files.

    ``unreadable`` collects errors of folders; if None, errors are raised. ``skipped`` counts photos that are not read.
    """
    suffixes, others = image_suffixes(), unreadable_suffixes()

    def note(error: OSError) -> None:
        why = f"is a folder that cannot be read: {reason(error)}"
        problem = ImageError(why, Kind.UNREADABLE, str(error.filename))
        if unreadable is None:
            raise problem
        unreadable.append(problem)

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            suffix = os.path.splitext(name)[1].lower()
            if suffix in suffixes:
                yield os.path.join(parent, name)
            elif skipped is not None and suffix in others:
                skipped[suffix] += 1
