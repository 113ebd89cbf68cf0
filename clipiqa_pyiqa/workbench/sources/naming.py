"""Pairs of images in several folders, found by name."""

import glob
import os
import re
from collections.abc import Iterable, Mapping

import pandas

from ...errors import CLIPIQAError
from ...files.printable import printable
from ...text import counted, few
from .finding import find_inputs


def named_images(place: str) -> dict[str, str]:
    """Return name -> file of the images of a folder or pattern, sorted.

    The name is the path in the folder, without suffix; or the text that a pattern's wildcards match.

    Args:
        place: Folder, or pattern with ``*``, ``?``, ``[`` or ``**``.
    """
    if os.path.isdir(place):
        found = [(os.path.splitext(os.path.relpath(path, place))[0], path) for path in find_inputs(place)]
    elif glob.has_magic(place):
        pattern = _expression(place)
        found = [
            ("/".join(filter(None, match.groups())) if (match := re.fullmatch(pattern, path)) else path, path)
            for path in sorted(glob.glob(place, recursive=True))
            if os.path.isfile(path)
        ]
    else:
        raise CLIPIQAError(f"{place!r} is no folder: name a folder, or a quoted pattern such as 'photos/*_low.png'.")
    if not found:
        raise CLIPIQAError(f"nothing matches {place!r}: there is nothing to compare.")
    names = dict[str, str]()
    for name, path in found:
        name = printable(name.replace(os.sep, "/"))
        if name in names:
            raise CLIPIQAError(f"{names[name]!r} and {path!r} have the same name, {name!r}: leave one of them out.")
        names[name] = path
    return names


def in_all_folders(
    named: Mapping[str, Mapping[str, str]], skip_missing: bool = False
) -> tuple[pandas.DataFrame, dict[str, list[str]]]:
    """Return a row per image in all folders, with a column per folder; and folder -> images that it lacks.

    Args:
        named: Folder -> the result of :func:`named_images`.
        skip_missing: Leave out images that a folder lacks; otherwise raise.
    """
    names = list(dict.fromkeys(name for each in named.values() for name in each))
    files = pandas.DataFrame(named, names, dtype=object)  # pandas' own text type refuses paths that are not UTF-8
    whole = files.dropna()
    lacking = {who: list(files.index[paths.isna()]) for who, paths in files.items() if paths.hasnans}
    if whole.empty or (lacking and not skip_missing):
        why = "; ".join(f"{who} lacks {few(by_set(each, named[who]))}" for who, each in lacking.items())
        raise CLIPIQAError(
            f"{len(files) - len(whole)} of {counted(len(files), 'image')} are not in all folders ({why}): complete the "
            "folders, leave these images out (skip_missing), or give patterns such as 'out/*_ours.png', which pair "
            "images by the text that * matches."
        )
    return whole, lacking


def by_set(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return image names; a sub-folder ``SET/`` stands for its images if no image of ``others`` is in it."""
    known = {name.partition("/")[0] for name in others}
    found = (f"{top}/" if (top := name.partition("/")[0]) not in known and top != name else name for name in names)
    return [*dict.fromkeys(found)]


def _expression(pattern: str) -> str:
    wildcards = {"**/": "(?:(.*)/)?", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", pattern)
    return "".join(
        wildcards.get(part)
        or (f"({part.replace('[!', '[^')})" if part.startswith("[") and len(part) > 1 else re.escape(part))
        for part in parts
    )
