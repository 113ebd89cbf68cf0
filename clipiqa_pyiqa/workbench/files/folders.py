"""Folders of results: checked before a run, and names for the files in them."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ...checks import FilePath
from ...errors import OutputError
from ...files.writing import as_output_error, check_output, resolved

_SUFFIXES_OF_FILES = [".csv", ".json", ".jsonl", ".parquet", ".html", ".png", ".svg", ".pdf", ".xml", ".md", ".tex"]


def make_folder(
    folder: FilePath,
    names: Iterable[str] = (),
    *,
    overwrite: bool = False,
    inputs: Iterable[FilePath] = (),
) -> Path:
    """Make a folder and those of its files, check the files by :func:`check_output`, and return the folder's path."""
    target = resolved(folder)
    input_files = list(inputs)
    files = [target / str(name) for name in names]
    if not target.is_dir() and (target.exists() or target.suffix.lower() in _SUFFIXES_OF_FILES):
        raise OutputError(f"{os.fspath(folder)!r} is not a folder: name a folder.")
    for path in [target, *(file.parent for file in files)]:
        with as_output_error(path):
            path.mkdir(parents=True, exist_ok=True)
    for file in files:
        check_output(file, overwrite=overwrite, inputs=input_files)
    return target


def file_name(name: str) -> str:
    """Return a label for use in a file's name; unsuitable characters become ``-``."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "data"


def free_names(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Return the names, numbered where a name is taken in any case: ``a``, ``A-2``, ``a-3``."""
    used = {name.lower() for name in taken}
    numbers = dict[str, int]()  # of names in lower case: the last number, so that many equal names take no time
    free = list[str]()
    for name in names:
        number = numbers.get(name.lower(), 1)
        candidate = name
        while candidate.lower() in used:
            number += 1
            candidate = f"{name}-{number}"
        used.add(candidate.lower())
        numbers[name.lower()] = number
        free.append(candidate)
    return free
