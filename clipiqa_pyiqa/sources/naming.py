"""Pairs of images in several folders, found by name."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable

from ..errors import CLIPIQAError
from .folders import images_in

_SHOWN = 5  # the most names in a message


class PairingError(CLIPIQAError):
    """Folders whose images cannot be paired by name."""


def named_images(place: str) -> dict[str, str]:
    """Return name -> file of the images of a folder or pattern, sorted.

    The name is the path in the folder, without suffix; or what a pattern's first to last wildcard match.

    Args:
        place: Folder, or pattern with ``*``, ``?``, ``[`` or ``**``.

    Raises:
        PairingError: There is no image, or two images have the same name.
    """
    if os.path.isdir(place):
        found = [(os.path.splitext(os.path.relpath(path, place))[0], path) for path in images_in(place)]
        why = f"the folder {place!r} holds no image files"
    elif glob.has_magic(place):
        start, end = (len(part) for part in (re.split(r"[*?[]", place)[0], re.split(r"[*?\]]", place)[-1]))
        files = [path for path in sorted(glob.glob(place, recursive=True)) if os.path.isfile(path)]
        found = [(path[start : len(path) - end], path) for path in files]
        why = f"nothing matches {place!r}"
    else:
        raise PairingError(f"{place!r} is no folder: name a folder, or a quoted pattern such as 'photos/*_low.png'.")
    if not found:
        raise PairingError(f"{why}: there is nothing to compare.")
    names: dict[str, str] = {}
    for name, path in found:
        name = name.replace(os.sep, "/")
        if name in names:
            raise PairingError(f"{names[name]!r} and {path!r} have the same name, {name!r}: leave one of them out.")
        names[name] = path
    return names


def few(names: Iterable[str]) -> str:
    """Return the first names in quotes, and the number of other names."""
    names = list(names)
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
