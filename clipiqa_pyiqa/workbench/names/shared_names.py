"""Which names of images several folders share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import CLIPIQAError
from ...text import counted, few

if TYPE_CHECKING:
    import pandas


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


def shared_names(files_by_folder: Mapping[str, Mapping[str, str]], skip_missing: bool = False) -> SharedNames:
    """Return the names of the images that all folders have.

    Args:
        files_by_folder: Folder -> name of an image in it -> its file.
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
            f"({'; '.join(notes)}): complete the folders, leave these images out (skip_missing), or give patterns "
            "such as 'out/*_ours.png', which pair images by the text that * matches.",
            options=("skip_missing",),
        )
    return SharedNames(shared_files, missing, notes)


def with_lost_sets_as_one(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return names of images; all names below a sub-folder that is not among ``others`` become one, ``SET/``."""
    sets_of_others = {name.partition("/")[0] for name in others}
    shown = []
    for name in names:
        top, slash, _ = name.partition("/")
        is_lost_set = bool(slash) and top not in sets_of_others
        shown.append(f"{top}/" if is_lost_set else name)
    return list(dict.fromkeys(shown))
