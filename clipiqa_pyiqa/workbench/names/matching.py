"""Which images of two runs, or of several folders, are the same."""

from __future__ import annotations

import enum
import functools
import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import CLIPIQAError
from ...files.printable import printable
from ...text import counted, few
from ..files.shown_text import below_common
from ..sources.finding import find_inputs

if TYPE_CHECKING:
    import pandas


class NameForm(enum.Enum):
    """The part of an image's name that is compared, with or without suffix."""

    AS_GIVEN = enum.auto()
    BELOW_COMMON_FOLDER = enum.auto()
    FILE_NAME = enum.auto()


# A name without folders is compared only with a name as given: below two folders, 1.jpg may be two images.
_FORMS = (
    (NameForm.AS_GIVEN, NameForm.AS_GIVEN),
    (NameForm.AS_GIVEN, NameForm.BELOW_COMMON_FOLDER),
    (NameForm.AS_GIVEN, NameForm.FILE_NAME),
    (NameForm.BELOW_COMMON_FOLDER, NameForm.AS_GIVEN),
    (NameForm.BELOW_COMMON_FOLDER, NameForm.BELOW_COMMON_FOLDER),
    (NameForm.FILE_NAME, NameForm.AS_GIVEN),
)


@dataclass(frozen=True)
class Match:
    """The images that two runs share.

    Attributes:
        forms: What was compared: of the first run's names, and of the second's.
        first, second: Name in a run -> the text that was compared; no two names of a run have the same text.
    """

    forms: tuple[NameForm, NameForm]
    first: Mapping[str, str]
    second: Mapping[str, str]

    @functools.cached_property
    def pairs(self) -> dict[str, str]:
        """Return the first run's names -> the second's names of the same images."""
        second_names = {text: name for name, text in self.second.items()}
        return {name: second_names[text] for name, text in self.first.items() if text in second_names}


def match(first: Sequence[str], second: Sequence[str]) -> Match:
    """Return the images that two runs share, by the form of their names in which most are equal.

    The forms are tried in this order, and the first of equals is taken: without suffixes before with suffixes; names as
    given, names below the folder that all images of a run share, and, if the other run's names are taken as given,
    names without folders. A form in which two names of a run are equal is not used: its names stay as given.
    """
    candidates = list[Match]()
    for has_suffix in (False, True):
        first_texts = _texts_by_form(first, has_suffix)
        second_texts = _texts_by_form(second, has_suffix)
        for first_form, second_form in _FORMS:
            texts = (first_texts[first_form], second_texts[second_form])
            candidates.append(Match((first_form, second_form), *texts))
    return max(candidates, key=_shared_count)  # the first of equals


def _shared_count(candidate: Match) -> int:
    return len(set(candidate.first.values()) & set(candidate.second.values()))


def _texts_by_form(names: Sequence[str], has_suffix: bool) -> dict[NameForm, dict[str, str]]:
    below_folder = below_common(names)
    return {
        NameForm.AS_GIVEN: _compared_texts(names, str, has_suffix),
        NameForm.BELOW_COMMON_FOLDER: _compared_texts(names, below_folder.__getitem__, has_suffix),
        NameForm.FILE_NAME: _compared_texts(names, _without_folders, has_suffix),
    }


def _compared_texts(names: Sequence[str], shorten: Callable[[str], str], has_suffix: bool) -> dict[str, str]:
    """Return name -> its shortened text, or the name as given if two texts would be equal."""
    texts = {name: shorten(name) for name in names}
    if not has_suffix:
        texts = {name: without_suffix(text) for name, text in texts.items()}
    if len(set(texts.values())) < len(texts):
        return {name: name for name in names}
    return texts


def _without_folders(name: str) -> str:
    return re.split("/|::", name)[-1]


def without_suffix(name: str) -> str:
    """Return a name without its suffix; a suffix has a letter, so that a frame's seconds stay."""
    return re.sub(r"\.\w*[a-zA-Z]\w*$", "", name)


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
        f"{folder} lacks {few(by_set(missing_names, files_by_folder[folder]))}"
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


def by_set(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return image names; a sub-folder ``SET/`` stands for its images if no image of ``others`` is in it."""
    sets_of_others = {name.partition("/")[0] for name in others}
    shown = []
    for name in names:
        top, slash, _ = name.partition("/")
        is_lost_set = bool(slash) and top not in sets_of_others
        shown.append(f"{top}/" if is_lost_set else name)
    return list(dict.fromkeys(shown))
