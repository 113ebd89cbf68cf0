"""Images by name: what is called alike in several folders, or matches alike, belongs together."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable

from ..errors import CLIPIQAError
from .folders import images_in

_SHOWN = 5  # names in a message


class PairingError(CLIPIQAError):
    """Folders whose images do not belong together by name."""


def named_images(place: str) -> dict[str, str]:
    """The images of a folder or pattern, by name.

    A folder's image is called by its path within the folder, without suffix. Of a pattern, what its wildcards match is
    the name: that of ``photos/1_low.png`` in ``'photos/*_low.png'`` is ``1``.

    Args:
        place: Folder, or pattern with ``*``, ``?`` or ``[``; ``**`` crosses folders.

    Returns:
        Name, with ``/`` between folders, -> file; in sorted order.

    Raises:
        PairingError: There is no image, or two have the same name.
    """
    if os.path.isdir(place):
        found = [(os.path.splitext(os.path.relpath(path, place))[0], path) for path in images_in(place)]
        what = f"the folder {place!r} holds no image files"
    elif glob.has_magic(place):
        pattern = re.compile(_expression(place))
        files = [path for path in sorted(glob.glob(place, recursive=True)) if os.path.isfile(path)]
        found = [(_wild(pattern, path), path) for path in files]
        what = f"nothing matches {place!r}"
    else:
        raise PairingError(f"{place!r} is no folder: name a folder, or a quoted pattern such as 'photos/*_low.png'.")
    if not found:
        raise PairingError(f"{what}: there is nothing to compare.")
    names: dict[str, str] = {}
    for name, path in found:
        name = name.replace(os.sep, "/")
        if name in names:
            raise PairingError(f"{names[name]!r} and {path!r} have the same name, {name!r}: leave one of them out.")
        names[name] = path
    return names


def _wild(pattern: re.Pattern[str], path: str) -> str:
    match = pattern.fullmatch(path)
    return "/".join(filter(None, match.groups())) if match else path


def _expression(pattern: str) -> str:
    """A glob as a regular expression whose groups are the wildcards."""
    said = {"**/": "(?:(.*)/)?", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", pattern)
    return "".join(
        said.get(part)
        or (f"({part.replace('[!', '[^')})" if part.startswith("[") and len(part) > 1 else re.escape(part))
        for part in parts
    )


def few(names: Iterable[str]) -> str:
    """The first few of some names, in quotes, and how many more there are."""
    names = list(names)
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
