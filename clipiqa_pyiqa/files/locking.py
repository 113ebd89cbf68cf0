"""Locks that let one run at a time write an output; the system releases a lock when the process ends."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputError
from .writing import resolved

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}
logger = logging.getLogger("clipiqa_pyiqa")


class LockedError(OutputError):
    """An output that another run is writing to."""


@contextlib.contextmanager
def locked(output: str | os.PathLike[str]) -> Iterator[None]:
    """Lock a file or an existing folder against other runs, in a context. Raises ``LockedError``."""
    path = lock_file(output)
    try:
        if fcntl is None:
            from filelock import FileLock, Timeout

            try:
                with FileLock(path).acquire(timeout=0):
                    yield
            except Timeout:
                raise _refusal(output, "") from None
            return
        number = _acquire(path, output)
    except LockedError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"cannot write the lock {str(path)!r} of {str(output)!r}: {reason}.") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the lock is still held here, so the file is not the next run's
            path.unlink()
        os.close(number)


def lock_file(output: str | os.PathLike[str]) -> Path:
    target = resolved(output)
    if target.is_dir():
        return target / ".clipiqa.lock"
    return target.with_name(f".{os.fsdecode(os.fsencode(target.name)[:200])}.lock")


def _acquire(path: Path, output: str | os.PathLike[str]) -> int:
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(os.close, number)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _refusal(output, os.pread(number, 1000, 0).decode("utf-8", "replace")) from None
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
                logger.warning("%s cannot be locked on this file system: let only one run write to it.", output)
                on_failure.pop_all()
                return number
            with contextlib.suppress(FileNotFoundError):  # the previous run has removed the file in the meantime
                if os.path.samestat(os.fstat(number), os.stat(path)):
                    holder = [os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S")]
                    with contextlib.suppress(OSError):  # the disk may be full
                        os.ftruncate(number, 0)
                        os.pwrite(number, json.dumps(holder).encode(), 0)
                    on_failure.pop_all()
                    return number


def _refusal(output: str | os.PathLike[str], holder: str) -> LockedError:
    try:
        pid, host, since = json.loads(holder)
        run = f"process {int(pid)} on {str(host)[:80]!r}, since {str(since)[:20]}"
    except (ValueError, TypeError):
        run = "another run"
    return LockedError(f"{str(output)!r} is being written by {run}: wait until it has ended, or name another output.")
