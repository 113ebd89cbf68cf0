"""Files that a table names, which must exist."""

import os
from collections.abc import Collection
from pathlib import Path

from ...errors import CLIPIQAError
from ...text import counted, few


def check_images_exist(path: Path, files: Collection[str], remedy: str = "") -> None:
    """Raise ``CLIPIQAError`` if images that a table at ``path`` names are missing."""
    different_files = set(files)
    missing = sorted(file for file in different_files if not os.path.isfile(file))
    if missing:
        raise CLIPIQAError(
            f"{len(missing)} of {counted(len(different_files), 'image')} named in {str(path)!r} cannot be found "
            f"({few(missing)}): correct the paths or `root`{remedy}.",
            options=("root", "skip_missing"),
        )
