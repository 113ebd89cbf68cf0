"""Locks: one run at a time writes an output."""

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path
from typing import TextIO

from ...checks import FilePath
from ...errors import OutputError
from ...files import as_output_error, resolved
from ...text import log

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}


class LockedError(OutputError):
    """Another run is writing to the output."""


class _Attempt(Enum):
    """What came of an attempt to lock a file."""

    LOCKED = auto()
    HELD_BY_ANOTHER = auto()
    UNSUPPORTED = auto()  # by the file system


@contextmanager
def locked(output: FilePath) -> Iterator[None]:
    """Lock a file or an existing folder in this context. Raises ``LockedError`` if another run holds the lock."""
    path = lock_file(output)
    with as_output_error(output, path):
        file = _locked_file(path, output)
    with file:
        try:
            yield
        finally:
            with suppress(OSError):  # a lock is still held here, so its file is not the next run's
                path.unlink()


def lock_file(output: FilePath) -> Path:
    """Return the path of an output's lock."""
    target = resolved(output)
    if target.is_dir():
        return target / ".clipiqa.lock"
    return target.with_name(f".{target.name[-60:]}.lock")


def _locked_file(path: Path, output: FilePath) -> TextIO:
    """Return the lock's file, open; the lock ends when it is closed."""
    while True:
        file = open(path, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by the caller
        attempt = _lock(file)
        if attempt is _Attempt.HELD_BY_ANOTHER:
            with file:
                file.seek(0)
                holder = file.read(200) or "another run"
            raise LockedError(
                f"{str(output)!r} is being written by {holder}: wait until that run has ended, or name another output."
            )
        if attempt is _Attempt.UNSUPPORTED:
            log.warning(f"{output} cannot be locked on this file system: let only one run write to it.")
            return file
        if _is_at(path, file):
            _write_holder(file)
            return file
        file.close()  # the previous run has removed the file in the meantime


def _lock(file: TextIO) -> _Attempt:
    """Lock an open file if no other run holds it, and say what came of it."""
    if fcntl is None:
        return _Attempt.UNSUPPORTED
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _Attempt.HELD_BY_ANOTHER
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return _Attempt.UNSUPPORTED
        raise
    return _Attempt.LOCKED


def _is_at(path: Path, file: TextIO) -> bool:
    """Return whether the open file is the one that the path names now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _write_holder(file: TextIO) -> None:
    """Write into the lock who holds it."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    holder = f"process {os.getpid()} on {socket.gethostname()!r}, since {since}"
    with suppress(OSError):  # the disk may be full
        file.truncate(0)
        os.write(file.fileno(), holder.encode())
