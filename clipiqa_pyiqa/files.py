"""Files: opened, hashed, and written whole or not at all."""

import contextlib
import errno
import functools
import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

from .checks import FilePath, check_truth
from .errors import OutputError, WeightsError
from .text import printable

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}

protected_files: ContextVar[Sequence[str]] = ContextVar("protected_files", default=())
"""Files that no output of this thread replaces, such as those that a command line names other than as outputs."""


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


def user_cache(name: str) -> Path:
    """Return the path of a file or folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "clipiqa" / name


def hash_file(path: FilePath) -> str:
    """Return the SHA-256 of a file in hex, computed anew."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def remembered_sha256(path: FilePath) -> str:
    """Return the SHA-256 of a file of weights or parameters in hex; the user's cache keeps it for the next call.

    Raises ``WeightsError`` if the file cannot be read.
    """
    try:
        return _hashes_of_weights(user_cache("hashes.jsonl")).of([path])[0]
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error


class FileHashes:
    """The SHA-256 of files in hex, each computed once as long as the file's size, times and inode stay the same.

    Args:
        path: A file that keeps them for the next process; it is read once, and each new hash is a line at its end.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, tuple[list[int], str]] = {}
        if path is not None:
            self._read(path)

    def of(self, paths: Iterable[FilePath]) -> list[str]:
        """Return the hashes of files. Raises ``OSError`` if one cannot be read."""
        hashes = list[str]()
        new_lines = list[str]()
        for path in map(str, paths):
            name = os.path.realpath(path)
            status = os.stat(path)  # before the file is read: a change meanwhile changes the stamp
            stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
            known_stamp, sha256 = self._known.get(name, (None, ""))
            if known_stamp != stamp:
                sha256 = hash_file(path)
                self._known[name] = (stamp, sha256)
                new_lines.append(json.dumps([name, stamp, sha256]))
            hashes.append(sha256)
        if new_lines and self._path is not None:
            with contextlib.suppress(OSError):  # the hashes are only computed again
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write("\n".join(["", *new_lines, ""]))  # a kill may have left the last line without an end
        return hashes

    def _read(self, path: Path) -> None:
        """Read the hashes in a file, leaving out damaged lines."""
        with contextlib.suppress(OSError), open_file(path, "r", encoding="utf-8", errors="replace") as file:
            for line in file:
                with contextlib.suppress(ValueError, TypeError, RecursionError):
                    name, stamp, sha256 = json.loads(line)
                    if isinstance(name, str) and isinstance(sha256, str):
                        self._known[name] = (stamp, sha256)


_hashes_of_weights = functools.cache(FileHashes)


@contextlib.contextmanager
def replacing(path: FilePath) -> Iterator[Path]:
    """Yield the path of a temporary file, which replaces ``path`` if the block succeeds. Raises ``OutputError``.

    A file that is replaced keeps its permissions.
    """
    target = resolved(path)
    _check_kind(path)
    partial = target.with_name(f".{target.stem[:40]}.{uuid.uuid4().hex[:8]}.partial{target.suffix}")
    try:
        with as_output_error(path, partial):
            partial.touch(exist_ok=False)
            if target.exists():
                shutil.copymode(target, partial)
            yield partial
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_bytes(path: FilePath, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: FilePath, text: str) -> None:
    r"""Write a UTF-8 text whole or not at all; line ends are not changed, lone surrogates become ``\xNN``."""
    write_bytes(path, printable(text).encode())


def check_output(path: FilePath, *, overwrite: bool = False, inputs: Iterable[FilePath] = ()) -> Path:
    """Return a file's path (``~`` expanded, links followed) if it may be written."""
    check_truth("overwrite", overwrite)
    target = resolved(path)
    _check_kind(path)
    if not target.parent.is_dir():
        raise OutputError(f"cannot write to {os.fspath(path)!r}: there is no folder {str(target.parent)!r}.")
    exists = target.exists()
    if not os.access(target.parent, os.W_OK) or (exists and not os.access(target, os.W_OK)):
        raise OutputError(f"cannot write to {os.fspath(path)!r}: permission denied.")
    if exists and _is_among(target, [*inputs, *protected_files.get()]):
        raise OutputError(f"{os.fspath(path)!r} is one of the inputs and is not replaced: name another output.")
    if exists and not overwrite:
        raise OutputError(
            f"{os.fspath(path)!r} exists already: pass `overwrite` to replace it, or name another output.",
            options=("overwrite",),
        )
    return target


def resolved(path: FilePath) -> Path:
    """Return the path of an output, with ``~`` expanded and links followed. Raises ``OutputError``."""
    if not os.fspath(path):
        raise OutputError("cannot write to '': an empty text is no path.")
    try:
        return Path(os.path.realpath(os.path.expanduser(path)))
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise OutputError(f"cannot write to {os.fspath(path)!r}: {reason}.") from error


@contextlib.contextmanager
def as_output_error(path: FilePath, *written: Path) -> Iterator[None]:
    """Raise ``OutputError`` if the disk fails, or if ``path`` or a file in ``written`` cannot be written."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        outputs = [str(path), str(resolved(path)), *map(str, written)]
        if error.errno not in _OF_THE_DISK and error.filename not in outputs:
            raise  # about a file that is read
        raise OutputError(f"cannot write to {os.fspath(path)!r}: {error.strerror or error}.") from error


def _check_kind(path: FilePath) -> None:
    """Raise ``OutputError`` if a path exists and is no file."""
    target = Path(os.path.expanduser(path))
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "a pipe, a socket or a device"
        raise OutputError(f"results cannot be written to {os.fspath(path)!r}, which is {kind}: name a file.")


def _is_among(target: Path, files: Iterable[FilePath]) -> bool:
    """Return whether an existing file is one of several, by whatever link or name."""
    status = os.stat(target)
    for file in files:
        with contextlib.suppress(OSError, ValueError, TypeError):  # an input may be missing, or be no path
            if os.path.samestat(status, os.stat(os.path.expanduser(file))):
                return True
    return False
