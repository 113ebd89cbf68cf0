"""Folders of results, checked before a run."""

import os
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
