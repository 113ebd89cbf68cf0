"""Places for results, checked before a run."""

import os
from collections.abc import Iterable
from pathlib import Path

from ...checks import FilePath
from ...errors import OutputError
from ...files import as_output_error, check_output, resolved

_SUFFIXES_OF_FILES = [".csv", ".json", ".jsonl", ".parquet", ".html", ".png", ".svg", ".pdf", ".xml", ".md", ".tex"]


def make_folder(
    folder: FilePath,
    names: Iterable[str] = (),
    *,
    overwrite: bool = False,
    inputs: Iterable[FilePath] = (),
) -> Path:
    """Make a folder and those of its files, check the files by :func:`check_output`, and return the folder's path."""
    target = _resolved_folder(folder)
    input_files = list(inputs)
    files = [target / str(name) for name in names]
    for path in [target, *(file.parent for file in files)]:
        with as_output_error(path):
            path.mkdir(parents=True, exist_ok=True)
    for file in files:
        check_output(file, overwrite=overwrite, inputs=input_files)
    return target


def check_folder(folder: FilePath, names: Iterable[str], *, overwrite: bool = False) -> Path:
    """Return a folder's path if these files may be written in it; the folder is not made."""
    target = _resolved_folder(folder)
    if target.is_dir():
        for name in names:
            check_output(target / name, overwrite=overwrite)
    check_place(folder)
    return target


def check_place(path: FilePath) -> None:
    """Raise ``OutputError`` if a file or folder can be neither changed nor made."""
    target = Path(os.path.expanduser(path)).absolute()
    place = next(place for place in (target, *target.parents) if os.path.exists(place))
    is_below_a_file = place != target and not place.is_dir()
    if is_below_a_file or not os.access(place, os.W_OK):
        raise OutputError(f"cannot write to {os.fspath(path)!r}: {str(place)!r} is no folder, or may not be changed.")


def _resolved_folder(folder: FilePath) -> Path:
    """Return a folder's path. Raises ``OutputError`` for the path of a file."""
    target = resolved(folder)
    if not target.is_dir() and (target.exists() or target.suffix.lower() in _SUFFIXES_OF_FILES):
        raise OutputError(f"{os.fspath(folder)!r} is not a folder: name a folder.")
    return target
