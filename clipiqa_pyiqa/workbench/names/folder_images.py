"""The images of folders and patterns by name, and which of them several folders share."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import CLIPIQAError
from ...files.printable import printable
from ...text import counted, few
from ..sources.finding import find_inputs
from .matching import without_suffix

if TYPE_CHECKING:
    import pandas


def images_by_name(place: str) -> dict[str, str]:
    """Return name -> file of the images of a folder or pattern, sorted.

    The name is the path in the folder, without suffix; or the text that a pattern's wildcards match.

    Args:
        place: Folder, or pattern with ``*``, ``?``, ``[`` or ``**``.
    """
    if os.path.isdir(place):
        paths = find_inputs(place)
        names = [without_suffix(os.path.relpath(path, place)) for path in paths]
    elif glob.has_magic(place):
        paths = sorted(path for path in glob.glob(place, recursive=True) if os.path.isfile(path))
        expression = re.compile(_expression(place))
        names = [_wildcard_text(expression, path) for path in paths]
    else:
        raise CLIPIQAError(f"{place!r} is no folder: name a folder, or a quoted pattern such as 'photos/*_low.png'.")
    if not paths:
        raise CLIPIQAError(f"nothing matches {place!r}: there is nothing to compare.")
    files = dict[str, str]()
    for path, name_on_disk in zip(paths, names, strict=True):
        name = printable(name_on_disk.replace(os.sep, "/"))
        if name in files:
            raise CLIPIQAError(f"{files[name]!r} and {path!r} have the same name, {name!r}: leave one of them out.")
        files[name] = path
    return files


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


@dataclass(frozen=True)
class SharedNames:
    """The images that several folders share.

    Attributes:
        files: A row per image in all folders, with a column per folder.
        missing: Folder -> images that it lacks.
        notes: A phrase for each folder that lacks images: ``low lacks '3', '4'``.
    """

    files: pandas.DataFrame
    missing: dict[str, list[str]]
    notes: list[str]


def in_all(files_by_folder: Mapping[str, Mapping[str, str]], skip_missing: bool = False) -> SharedNames:
    """Return the images that all folders have.

    Args:
        files_by_folder: Folder -> the result of :func:`images_by_name`.
        skip_missing: Leave out images that a folder lacks; otherwise raise.
    """
    import pandas

    names = list(dict.fromkeys(name for files in files_by_folder.values() for name in files))
    # pandas' own text type refuses paths that are not UTF-8
    files = pandas.DataFrame(files_by_folder, names, dtype=object)
    shared_files = files.dropna()
    missing = {folder: list(files.index[paths.isna()]) for folder, paths in files.items() if paths.hasnans}
    notes = [
        f"{folder} lacks {few(with_lost_sets_as_one(missing_names, files_by_folder[folder]))}"
        for folder, missing_names in missing.items()
    ]
    if shared_files.empty or (missing and not skip_missing):
        raise CLIPIQAError(
            f"{len(files) - len(shared_files)} of {counted(len(files), 'image')} are not in all folders "
            f"({'; '.join(notes)}): complete the folders, leave these images out ({{skip_missing}}), or give patterns "
            "such as 'out/*_ours.png', which pair images by the text that * matches.",
            options=("skip_missing",),
        )
    return SharedNames(shared_files, missing, notes)


def with_lost_sets_as_one(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return names of images; those below a sub-folder that no image of ``others`` is in become one, ``SET/``."""
    sets_of_others = {name.partition("/")[0] for name in others}
    shown = []
    for name in names:
        top, slash, _ = name.partition("/")
        is_lost_set = bool(slash) and top not in sets_of_others
        shown.append(f"{top}/" if is_lost_set else name)
    return list(dict.fromkeys(shown))
