"""Texts for terminals and pages: without control characters, and paths without the folder that they share."""

import os
from collections.abc import Sequence

from ...files.printable import one_line


def harmless(text: str) -> str:
    """Return a text for a terminal; control characters are escaped, except line breaks and tabs."""
    if not text.strip("\x1b[A"):  # tqdm moves to the line above with these characters
        return text
    return one_line(text, "\n\r\t")


def below_common(paths: Sequence[str]) -> dict[str, str]:
    """Return a dict from path to path below the folder that all paths share, with slashes."""
    if not paths:
        return {}
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
    common_folder = os.path.commonpath(folders)
    return {path: os.path.relpath(path, common_folder).replace(os.sep, "/") for path in paths}
