"""Addresses of files in stores, and paths on disk, as texts."""

import os
import re
from pathlib import Path

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...text import shown


def is_remote(name: str) -> bool:
    """Return whether a name is an address of a store or a web server."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+(::.*)?://", name) is not None


def address_of(place: FilePath) -> str:
    """Return a path or address as text; restore the slash that ``Path('s3://x')`` loses."""
    if not isinstance(place, str | os.PathLike):
        raise CLIPIQAError(f"a path or an address is needed; got {shown(place)}.")
    path = re.sub(r"^(file|local):/+", "/", os.fspath(place))
    return os.path.expanduser(re.sub(r"^(\w\w+):/(?!/)", r"\1://", path))


def joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else str(Path(folder, name))


def suffix_of(name: str) -> str:
    """Return the suffix in lower case, such as ``.png``."""
    return os.path.splitext(name)[1].lower()
