"""The images of folders and patterns by name."""

from __future__ import annotations

import glob
import os
import re

from ...errors import CLIPIQAError
from ...text import printable
from ..images.formats import image_suffixes
from ..sources.addresses import suffix_of
from ..sources.finding import find_inputs
from .matching import without_suffix


def images_by_name(place: str) -> dict[str, str]:
    """Return name -> file of the images of a folder or pattern, sorted.

    The name is the path in the folder, without suffix; or the text that a pattern's wildcards match.

    Args:
        place: Folder, or pattern with ``*``, ``?``, ``[`` or ``**``.
    """
    if os.path.isdir(place):
        names = {path: without_suffix(os.path.relpath(path, place)) for path in find_inputs(place)}
    elif glob.has_magic(place):
        names = _wildcard_texts(place)
    else:
        raise CLIPIQAError(f"{place!r} is no folder: name a folder, or a quoted pattern such as 'photos/*_low.png'.")
    if not names:
        raise CLIPIQAError(f"nothing matches {place!r}: there is nothing to compare.")
    files = dict[str, str]()
    for path, name_on_disk in names.items():
        name = printable(name_on_disk.replace(os.sep, "/"))
        if name in files:
            raise CLIPIQAError(f"{files[name]!r} and {path!r} have the same name, {name!r}: leave one of them out.")
        files[name] = path
    return files


def _wildcard_texts(pattern: str) -> dict[str, str]:
    """Return image file that matches a pattern -> the text that the wildcards match."""
    expression = re.compile(_expression(pattern))
    suffixes = image_suffixes()
    paths = [
        path for path in glob.glob(pattern, recursive=True) if suffix_of(path) in suffixes and os.path.isfile(path)
    ]
    return {path: _wildcard_text(expression, path) for path in sorted(paths)}


def _wildcard_text(expression: re.Pattern[str], path: str) -> str:
    """Return the texts that a pattern's wildcards stand for, joined by slashes; the path if it does not fit."""
    wildcards = expression.fullmatch(path)
    if wildcards is None:
        return path
    return "/".join(text for text in wildcards.groups() if text)


def _expression(pattern: str) -> str:
    """Return a glob pattern as a regular expression with a group for each wildcard."""
    wildcards = {"**/": "(?:(.*)/)?", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", pattern)
    expression = ""
    for part in parts:
        if part in wildcards:
            expression += wildcards[part]
        elif part.startswith("[") and len(part) > 1:
            expression += f"({part.replace('[!', '[^')})"
        else:
            expression += re.escape(part)
    return expression
