"""How files that people name are opened."""

import errno
import os
import stat
from typing import IO, Any

from ..checks import FilePath


def open_file(path: FilePath, mode: str = "rb", **options: Any) -> IO[Any]:
    """Open a file to read it. Raises ``OSError`` at once for a pipe or a device, which could block for ever."""
    kind = os.stat(path).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # open() refuses a folder
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, but a file was expected", os.fspath(path))
    return open(path, mode, **options)


def read_bytes(path: FilePath) -> bytes:
    """Return the content of a file, which must be no pipe and no device."""
    with open_file(path) as file:
        return bytes(file.read())
