"""How files that people name are opened."""

from __future__ import annotations

import errno
import os
import stat
from typing import IO, Any


def open_file(path: str | os.PathLike[str], mode: str = "rb", **options: Any) -> IO[Any]:
    """Open a file to read it. Raises ``OSError`` at once for a pipe or a device, which could block for ever."""
    kind = os.stat(path).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # open() refuses a folder
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, but a file was expected", os.fspath(path))
    return open(path, mode, **options)
