"""Files written whole or not at all, by one run at a time; journals; and hashes of files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import socket
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ..errors import OutputError, WeightsError
from ..errors.arguments import checked
from .names import printable

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
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
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text whole or not at all; line ends are not changed."""
    write_bytes(path, printable(text).encode())


@checked
def check_output(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> Path:
    """Return a file's path (``~`` expanded, links followed) if it may be written.

    Args:
        path: The file; its folder must exist.
        overwrite: Replace an existing file.
        inputs: Files that are never replaced.

    Raises:
        OutputError: The file cannot be written, exists, or is an input.
    """
    target = resolved(path)
    _check_kind(path)
    if not target.parent.is_dir():
        raise OutputError(f"cannot write to {os.fspath(path)!r}: there is no folder {str(target.parent)!r}.")
    exists = target.exists()
    if not os.access(target.parent, os.W_OK) or (exists and not os.access(target, os.W_OK)):
        raise OutputError(f"cannot write to {os.fspath(path)!r}: permission denied.")
    if exists and any(_is_same(target, each) for each in inputs):
        raise OutputError(f"{os.fspath(path)!r} is one of the inputs and is not replaced: name another output.")
    if exists and not overwrite:
        raise OutputError(
            f"{os.fspath(path)!r} exists already: pass `overwrite` to replace it, or name another output."
        )
    return target


@checked
def check_folder(
    folder: str | os.PathLike[str],
    names: Iterable[str] = (),
    *,
    overwrite: bool = False,
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> Path:
    """Make a folder and return its path; check that its files may be written, as :func:`check_output` does."""
    target, inputs = resolved(folder), list(inputs)
    if target.exists() and not target.is_dir():
        raise OutputError(f"{os.fspath(folder)!r} is not a folder: name a folder.")
    with as_output_error(folder):
        target.mkdir(parents=True, exist_ok=True)
    for name in names:
        check_output(target / str(name), overwrite=overwrite, inputs=inputs)
    return target


def resolved(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(os.path.realpath(os.path.expanduser(path)))
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise OutputError(f"cannot write to {os.fspath(path)!r}: {reason}.") from error


def _check_kind(path: str | os.PathLike[str]) -> None:
    given = Path(os.path.expanduser(path))
    if given.exists() and not given.is_file():
        kind = "a folder" if given.is_dir() else "a pipe, a socket or a device"
        raise OutputError(f"results cannot be written to {os.fspath(path)!r}, which is {kind}: name a file.")


def _is_same(target: Path, other: str | os.PathLike[str]) -> bool:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return os.path.samefile(target, os.path.expanduser(other))
    return False


@contextmanager
def as_output_error(path: str | os.PathLike[str], *written: Path) -> Iterator[None]:
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
            raise LockedError(
                f"{str(output)!r} is being written by {holder}: wait until that run has ended, or name another output."
            ) from None
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


class Journal:
    """A file of rows that is open for appending: a line is ``["CRC32", {…}]``, and a kill may cut the last line.

    Raises ``OutputError`` if the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with as_output_error(path):  # a deleted journal is an error: a new file would lack the earlier rows
            self._file = open(path, "rb+", buffering=0)  # noqa: SIM115 - closed by close()

    @classmethod
    def create(cls, path: Path, rows: Iterable[Mapping[str, Any]] = ()) -> Journal:
        """Return a new journal with these rows, in place of the file at ``path``."""
        with replacing(path) as partial, open(partial, "wb") as file:
            file.writelines(map(_line, rows))
        return cls(path)

    def append(self, row: Mapping[str, Any]) -> None:
        rest, end = memoryview(_line(row)), self._file.seek(0, os.SEEK_END)
        try:
            with as_output_error(self.path):
                while rest:
                    rest = rest[self._file.write(rest) :]
        except BaseException:  # also if Ctrl-C interrupts the writing of a row
            self._file.truncate(end)
            raise

    def close(self) -> None:
        """Write all rows to the disk, and close the file."""
        with self._file, as_output_error(self.path):
            os.fsync(self._file.fileno())


def read_journal(path: Path, damage: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a journal; ``damage`` receives lines with wrong checksums, such as ``'line 7'``."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # a kill has left this line incomplete
            text = line[13:-2]
            if line == _checked(text):
                yield json.loads(text)
            else:
                damage.append(f"line {number}")


def is_journal(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b'["'


def _line(row: Mapping[str, Any]) -> bytes:
    return _checked(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _checked(text: bytes) -> bytes:
    return b'["%08x", %s]\n' % (zlib.crc32(text), text)


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file in hex. Raises ``WeightsError`` if the file cannot be read."""
    try:
        return hashes_of([path])[0]
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error


def hashes_of(paths: Sequence[str | Path]) -> list[str]:
    """Return the SHA-256 of files in hex.

    ``$XDG_CACHE_HOME/clipiqa/hashes.json`` stores them, so that only a new or changed file is read.
    """
    known, new = _read_cache(), dict[str, str]()
    found = []
    for path in map(str, paths):
        entry = known.get(os.path.realpath(path))
        if not isinstance(entry, list) or entry[:-1] != _stamp(path):
            new[path] = hash_file(Path(path))
            entry = [new[path]]
        found.append(str(entry[-1]))
    if new:
        remember(new)
    return found


def hash_file(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def remember(hashes: Mapping[str, str]) -> None:
    with contextlib.suppress(OSError):
        entries = {os.path.realpath(path): [*_stamp(path), digest] for path, digest in hashes.items()}
        _cache_file().parent.mkdir(parents=True, exist_ok=True)
        write_text(_cache_file(), json.dumps({**_read_cache(), **entries}, indent=1))


def _stamp(path: str) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def _cache_file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "clipiqa" / "hashes.json"


def _read_cache() -> dict[str, Any]:
    try:
        content = json.loads(_cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
