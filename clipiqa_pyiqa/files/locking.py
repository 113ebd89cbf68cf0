"""Locks that let one run at a time write an output; the system releases a lock when the process ends."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ..errors import OutputError
from .writing import as_output_error, resolved

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}
logger = logging.getLogger("clipiqa_pyiqa")


class LockedError(OutputError):
    """Another run is writing to the output."""


@contextlib.contextmanager
def locked(output: str | os.PathLike[str]) -> Iterator[None]:
    """Lock a file or an existing folder in this context. Raises ``LockedError`` if another run holds the lock."""
    path = lock_file(output)
    with as_output_error(output, path):
        file = _acquired(path, output)
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # the lock is still held here, so the file is not the next run's
                path.unlink()


def lock_file(output: str | os.PathLike[str]) -> Path:
    target = resolved(output)
    return target / ".clipiqa.lock" if target.is_dir() else target.with_name(f".{target.name[-60:]}.lock")


def _acquired(path: Path, output: str | os.PathLike[str]) -> TextIO:
    while True:
        file = open(path, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by the caller
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "no flock")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)
                holder = file.read(200) or "another run"
            advice = "wait until that run has ended, or name another output"
            raise LockedError(f"{str(output)!r} is being written by {holder}: {advice}.") from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            logger.warning("%s cannot be locked on this file system: let only one run write to it.", output)
            return file
        with contextlib.suppress(FileNotFoundError):  # the previous run has removed the file in the meantime
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                with contextlib.suppress(OSError):  # the disk may be full
                    file.truncate(0)
                    since = time.strftime("%Y-%m-%d %H:%M:%S")
                    holder = f"process {os.getpid()} on {socket.gethostname()!r}, since {since}"
                    os.write(file.fileno(), holder.encode())
                return file
        file.close()
