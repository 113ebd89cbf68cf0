"""Files written whole or not at all."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from ..checks import FilePath, check_truth
from ..errors import OutputError
from .printable import printable

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}

protected_files: ContextVar[Sequence[str]] = ContextVar("protected_files", default=())
"""Files that no output of this thread replaces, such as those that a command line names other than as outputs."""


@contextmanager
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
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_bytes(path: FilePath, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: FilePath, text: str) -> None:
    r"""Write a UTF-8 text whole or not at all; line ends are not changed, lone surrogates become ``\xNN``."""
    write_bytes(path, printable(text).encode())


def check_output(
    path: FilePath,
    *,
    overwrite: bool = False,
    inputs: Iterable[FilePath] = (),
) -> Path:
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
            f"{os.fspath(path)!r} exists already: pass `{{overwrite}}` to replace it, or name another output.",
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


@contextmanager
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
        with suppress(OSError, ValueError, TypeError):  # an input may be missing, or be no path
            if os.path.samestat(status, os.stat(os.path.expanduser(file))):
                return True
    return False
