"""The image files of an experiment: paths or data sets, and a sample of them that a seed draws."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...checks import FilePath
from ...errors import ImageError
from ...text import counted
from ..files.specifications import parse_argument
from ..opinions.splits import drawn_places
from ..sources.finding import find_inputs
from ..sources.paths import each_of
from ..sources.picture_folders import check_pictures_outside

_NAME = re.compile(r"[\w+-]+")


def names_data_set(path: Any) -> bool:
    """Return whether a text names a data set: one of pyiqa's or a CSV file, with options; PyTorch is not loaded."""
    if not _may_name_data_set(path):
        return False
    target = str(parse_argument(os.fspath(path)).target)
    if target.lower().endswith(".csv"):
        return True
    from ..opinions.pyiqa_settings import known_sets

    return target in known_sets()


def _may_name_data_set(path: Any) -> bool:
    """Return whether a text names no file, but may name a data set: a name of pyiqa's or a CSV file, with options."""
    if not isinstance(path, str | os.PathLike):
        return False
    text = os.fspath(path)
    if text.lower().endswith(".csv"):
        return True
    if os.path.lexists(text) or text == "-":
        return False
    target = text.partition(":")[0]
    return bool(_NAME.fullmatch(target)) or target.lower().endswith(".csv")


def image_files(paths: Any, out: FilePath | None = None, data_root: FilePath | None = None) -> list[str]:
    """Return the files of images that paths and data sets name, each once.

    Args:
        paths: As for :func:`~clipiqa_pyiqa.workbench.sources.finding.find_inputs`, and data sets such as
            ``'koniq10k-1024:split=test'`` or ``'scores.csv:split=test'``, whose images are read as they are in their
            files.
        out: A folder for pictures; raise if the next run would take them for photos.
        data_root: Folder of pyiqa's data sets.
    """
    names = list(each_of(paths))
    data_sets = [os.fspath(path) for path in names if names_data_set(path)]
    others = [path for path in names if not names_data_set(path)]
    files = find_inputs(others, out) if others or not data_sets else []
    for text in data_sets:
        files += _files_of(text, out, data_root)
    return list(dict.fromkeys(files))


def sample_of(files: Sequence[str], sample: int | None, seed: int) -> list[str]:
    """Return a random sample of files, in their order; all of them for None."""
    if sample is None:
        return list(files)
    if sample > len(files):
        raise ImageError(
            f"sample must be at most {counted(len(files), 'image')}, as there are no more; got {sample}.",
            options=("sample",),
        )
    return [files[place] for place in drawn_places(len(files), sample, seed)]


def _files_of(text: str, out: FilePath | None, data_root: FilePath | None) -> list[str]:
    from ..opinions.data_sets import parse_data_sets

    (data_set,) = parse_data_sets(text, data_root)
    files = [image.name for image in data_set.images]
    check_pictures_outside(out, {Path(file).parent for file in files})
    return files
