"""Files written whole or not at all, by one run at a time."""

import errno
import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from ..errors import FilePath, OutputError, checked, log
from .names import printable

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


NAMED = list[str]()  # files that the command line names, other than as outputs


@contextmanager
def replacing(path: FilePath) -> Iterator[Path]:
    """Yield the path of a temporary file, which replaces ``path`` if the block succeeds. Raises ``OutputError``."""
    target = resolved(path)
    _check_kind(path)
    partial = target.with_name(f".{target.stem[:40]}.{uuid.uuid4().hex[:8]}.partial{target.suffix}")
    try:
        with as_output_error(path, partial):
            partial.touch(exist_ok=False)
            yield partial
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, target)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_bytes(path: FilePath, content: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: FilePath, text: str) -> None:
    """Write a UTF-8 text whole or not at all; line ends are not changed."""
    write_bytes(path, printable(text).encode())


@checked
def check_output(
    path: FilePath,
    *,
    overwrite: bool = False,
    inputs: Iterable[FilePath] = (),
) -> Path:
    """Return a file's path (``~`` expanded, links followed) if it may be written."""
    target = resolved(path)
    _check_kind(path)
    if not target.parent.is_dir():
        raise OutputError(f"cannot write to {os.fspath(path)!r}: there is no folder {str(target.parent)!r}.")
    exists = target.exists()
    if not os.access(target.parent, os.W_OK) or (exists and not os.access(target, os.W_OK)):
        raise OutputError(f"cannot write to {os.fspath(path)!r}: permission denied.")
    if exists and _is_among(target, (*inputs, *NAMED)):
        raise OutputError(f"{os.fspath(path)!r} is one of the inputs and is not replaced: name another output.")
    if exists and not overwrite:
        raise OutputError(
            f"{os.fspath(path)!r} exists already: pass `overwrite` to replace it, or name another output."
        )
    return target


@checked
def check_folder(
    folder: FilePath,
    names: Iterable[str] = (),
    *,
    overwrite: bool = False,
    inputs: Iterable[FilePath] = (),
) -> Path:
    """Make a folder and those of its files, check the files by :func:`check_output`, and return the folder's path."""
    target, inputs = resolved(folder), list(inputs)
    files = [target / str(name) for name in names]
    if not target.is_dir() and (target.exists() or target.suffix.lower() in _OF_FILES):
        raise OutputError(f"{os.fspath(folder)!r} is not a folder: name a folder.")
    for path in [target, *(file.parent for file in files)]:
        with as_output_error(path):
            path.mkdir(parents=True, exist_ok=True)
    for file in files:
        check_output(file, overwrite=overwrite, inputs=inputs)
    return target


_OF_FILES = [".csv", ".json", ".jsonl", ".parquet", ".html", ".png", ".svg", ".pdf", ".xml", ".md", ".tex"]


def resolved(path: FilePath) -> Path:
    try:
        return Path(os.path.realpath(os.path.expanduser(path)))
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise OutputError(f"cannot write to {os.fspath(path)!r}: {reason}.") from error


def _check_kind(path: FilePath) -> None:
    given = Path(os.path.expanduser(path))
    if given.exists() and not given.is_file():
        kind = "a folder" if given.is_dir() else "a pipe, a socket or a device"
        raise OutputError(f"results cannot be written to {os.fspath(path)!r}, which is {kind}: name a file.")


def _is_among(target: Path, files: Iterable[FilePath]) -> bool:
    known = os.stat(target)
    for each in files:
        with suppress(OSError, ValueError, TypeError):
            if os.path.samestat(known, os.stat(os.path.expanduser(each))):
                return True
    return False


@contextmanager
def as_output_error(path: FilePath, *written: Path) -> Iterator[None]:
    """Raise ``OutputError`` if the disk fails, or if ``path`` or a file in ``written`` cannot be written."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno not in _OF_THE_DISK and error.filename not in map(str, (path, resolved(path), *written)):
            raise
        raise OutputError(f"cannot write to {os.fspath(path)!r}: {error.strerror or error}.") from error


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}


class LockedError(OutputError):
    """Another run is writing to the output."""


@contextmanager
def locked(output: FilePath) -> Iterator[None]:
    """Lock a file or an existing folder in this context. Raises ``LockedError`` if another run holds the lock."""
    path = lock_file(output)
    with as_output_error(output, path):
        file = _acquired(path, output)
    with file:
        try:
            yield
        finally:
            with suppress(OSError):  # the lock is still held here, so the file is not the next run's
                path.unlink()


def lock_file(output: FilePath) -> Path:
    target = resolved(output)
    return target / ".clipiqa.lock" if target.is_dir() else target.with_name(f".{target.name[-60:]}.lock")


def _acquired(path: Path, output: FilePath) -> TextIO:
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
            raise LockedError(
                f"{str(output)!r} is being written by {holder}: wait until that run has ended, or name another output."
            ) from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            log.warning(f"{output} cannot be locked on this file system: let only one run write to it.")
            return file
        with suppress(FileNotFoundError):  # the previous run has removed the file in the meantime
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                with suppress(OSError):  # the disk may be full
                    file.truncate(0)
                    holder = (
                        f"process {os.getpid()} on {socket.gethostname()!r}, since {time.strftime('%Y-%m-%d %H:%M:%S')}"
                    )
                    os.write(file.fileno(), holder.encode())
                return file
        file.close()
