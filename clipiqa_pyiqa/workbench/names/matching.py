"""Which images of two runs are the same."""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..files.shown_paths import below_common


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

    The first of equals is taken: without suffixes before with suffixes, then in the order of ``_FORMS``. The forms are
    names as given, names below the folder that all images of a run share, and, if the other run's names are taken as
    given, names without folders. A form in which two names of a run are equal is not used: its names stay as given.
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
