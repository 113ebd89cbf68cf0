"""Paths as they are shown: from the root, or without the folder that they share."""

import os
from collections.abc import Sequence
from pathlib import Path

from ...checks import FilePath
from ...text import printable


def full_path(path: FilePath) -> str:
    """Return an absolute path as text that can be shown; ``~`` is the user's folder."""
    return printable(os.path.abspath(Path(path).expanduser()))


def below_common(paths: Sequence[str]) -> dict[str, str]:
    """Return a dict from path to path below the folder that all paths share, with slashes."""
    if not paths:
        return {}
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
    common_folder = os.path.commonpath(folders)
    return {path: os.path.relpath(path, common_folder).replace(os.sep, "/") for path in paths}
