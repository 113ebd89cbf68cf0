"""Folders for a command's pictures, which the next run must not take for photos."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...checks import FilePath
from ...errors import OutputError
from ...files import resolved
from .addresses import is_remote
from .paths import matches_of


def check_pictures_outside(folder: FilePath | None, paths: Iterable[Any]) -> None:
    """Raise ``OutputError`` if pictures in a folder would be images of the next run over the same paths.

    Args:
        folder: Folder for a command's pictures; None for none.
        paths: Folders and patterns; others are ignored. Hidden folders in a folder hold no images.
    """
    if folder is None:
        return
    target = resolved(folder)
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            continue
        name = os.path.expanduser(path)
        if os.path.isdir(name):
            root = resolved(name)
            is_inside = target.is_relative_to(root) and not _is_hidden(target.relative_to(root))
        else:
            files = matches_of(name) if glob.has_magic(name) and not is_remote(name) else []
            is_inside = target in {resolved(os.path.dirname(file) or ".") for file in files}
        if is_inside:
            raise OutputError(
                f"{os.fspath(folder)!r} lies in {os.fspath(path)!r}, where the next run would take the pictures for "
                "photos: name a folder outside of it, or one whose name begins with a dot."
            )


def _is_hidden(folder: Path) -> bool:
    return any(part.startswith(".") for part in folder.parts)
