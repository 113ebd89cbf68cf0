"""The user's cache."""

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """Return the path of a file or folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "clipiqa" / name
