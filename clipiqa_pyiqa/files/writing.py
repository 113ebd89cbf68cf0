"""The one way to write a file: whole or not at all, and never over what is not ours.

    target = check_output(args.out, overwrite=args.overwrite, inputs=photos)   # before any work; `~` and links resolved
    folder = check_folder(args.out, ["rank.csv", "rank.png"], overwrite=args.overwrite, inputs=[scores])
    with replacing(target) as partial:      # a free path beside the target, with its suffix
        figure.savefig(partial)             # anything that writes to a path; at the end of the block: fsync, rename
    write_text(target, page)                # the same for a text (UTF-8), `write_bytes` for bytes

``replacing`` gives the new file the mode of the old one, or what the umask says; replaces a link's target and leaves
the link; copies the bytes into a FIFO or a device instead of renaming over it. A full disk and the like are an
``OutputError``: one sentence, a ``CLIPIQAError`` and an ``OSError``; other exceptions of the block pass, and then
nothing has changed. What grows row by row is a ``journal``, and what is appended or resumed has a lock (``locking``).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..arguments import checked
from ..errors import OutputError

_WINDOWS = os.name == "nt"
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A fresh path beside ``path`` to write to: renamed to ``path`` if the block ends well, removed if not.

    Raises:
        OutputError: The file cannot be written, or is a socket or a folder.
    """
    target, mode = resolved(path), _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        with _writing(path), _copied_into(path, target, mode) as partial:
            yield partial
        return
    partial = target.with_name(_partial_name(target, uuid.uuid4().hex[:8]))
    try:
        with _writing(path, partial):
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            fresh = os.stat(partial).st_mode  # by the umask, or by the folder's access list
            yield partial
            _take_over(partial, target, fresh)
            _sync(partial)
            os.replace(partial, target)
            _sync(target.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def has_leftovers(folder: Path) -> bool:
    """Whether writers that were killed, or are at work, have left anything in a folder or below it."""
    return any(folder.rglob(".*.partial*"))


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what killed writers of a file left; for whoever holds the file's lock, so that nobody is writing it."""
    target = resolved(path)
    pattern = _partial_name(target, "\0")
    before, after = pattern.split("\0")
    with contextlib.suppress(OSError):
        for name in os.listdir(target.parent):
            if len(name) == len(pattern) + 7 and name.startswith(before) and name.endswith(after):
                (target.parent / name).unlink(missing_ok=True)


def _partial_name(target: Path, unique: str) -> str:
    """Of a fresh path beside a file: hidden, with the file's suffix, and never that of another file's."""
    suffix = target.suffix if len(os.fsencode(target.suffix)) < 16 else ""
    whose = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]
    return f".{target.stem[:32]}.{whose}{unique}.partial{suffix}"


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all; see ``replacing``."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text, with the line ends it has, whole or not at all; what is no Unicode becomes ``\\xNN``."""
    write_bytes(path, text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").encode())


@checked
def check_output(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    ours: Callable[[Path], bool] | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    way_out: str = "pass --overwrite to replace it, or name another file",
) -> Path:
    """Find out, before any work, whether a file can and may be written.

    Args:
        path: The file; its folder must exist.
        overwrite: Replace what is there.
        ours: Whether an existing file is one that may be replaced unasked.
        inputs: Files that are read and so never replaced, whatever ``overwrite`` says.
        way_out: What to do about a file that exists already.

    Returns:
        The file to write, with ``~`` expanded and links followed.

    Raises:
        OutputError: It cannot be written, or would replace what we did not make.
    """
    target, mode, shown = resolved(path), _mode(path), _quoted(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise OutputError(f"results cannot be written to {shown}, which is a folder: name a file.")
    if mode is not None and stat.S_ISSOCK(mode):
        raise OutputError(f"results cannot be written to {shown}, which is a socket: name a file.")
    if not target.parent.is_dir():
        raise OutputError(f"results cannot be written to {shown}: there is no folder {_quoted(target.parent)}.")
    special = mode is not None and not stat.S_ISREG(mode)  # a FIFO or a device, which is written to as it is
    needed = [target] if special else [target.parent] if mode is None else [target.parent, target]
    if not all(os.access(each, os.W_OK) for each in needed):
        raise OutputError(f"results cannot be written to {shown}: permission denied.")
    if mode is None or special:
        return target
    if _is_among(target, inputs):
        raise OutputError(f"{shown} is one of the inputs and is not replaced: name another output.")
    if not overwrite and not (ours is not None and ours(target)):
        raise OutputError(f"{shown} exists already: {way_out}.")
    return target


@checked
def check_folder(
    folder: str | os.PathLike[str],
    names: Iterable[str],
    *,
    overwrite: bool = False,
    ours: Callable[[Path], bool] | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> Path:
    """Find out, before any work, whether files can and may be written into a folder, and make the folder.

    Args:
        folder: The folder.
        names: Of the files in it that will be written.
        overwrite, ours, inputs: As for ``check_output``.

    Returns:
        The folder, with ``~`` expanded and links followed.

    Raises:
        OutputError: As for ``check_output``.
    """
    target, mode, inputs = resolved(folder), _mode(folder), list(inputs)
    if mode is not None and not stat.S_ISDIR(mode):
        raise OutputError(f"results cannot be written to {_quoted(folder)}, which is no folder: name another one.")
    with _writing(folder):
        target.mkdir(parents=True, exist_ok=True)
    way_out = "pass --overwrite to replace it, or name another folder"
    for name in map(str, names):
        check_output(target / name, overwrite=overwrite, ours=ours, inputs=inputs, way_out=way_out)
    return target


@contextmanager
def _writing(path: str | os.PathLike[str], partial: Path | None = None) -> Iterator[None]:
    """Turns what the system says about the file being written, and nothing else, into a sentence."""
    try:
        yield
    except (BrokenPipeError, OutputError):
        raise
    except OSError as error:
        if error.errno in _OF_THE_DISK or error.filename in map(str, (path, partial or path, resolved(path))):
            reason = error.strerror or str(error)
            if _WINDOWS and isinstance(error, PermissionError):  # it does not replace what anybody has open
                reason += "; close it, if another program has it open"
            raise OutputError(f"cannot write to {_quoted(path)}: {reason}.") from error
        raise


@contextmanager
def _copied_into(path: str | os.PathLike[str], target: Path, mode: int) -> Iterator[Path]:
    """A path elsewhere whose bytes are copied at the end into what is there and stays there: a FIFO, a device."""
    if stat.S_ISDIR(mode) or stat.S_ISSOCK(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "socket"
        raise OutputError(f"results cannot be written to {_quoted(path)}, which is a {kind}: name a file.")
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder, target.name)
        yield partial
        with open(partial, "rb") as file, open(target, "wb", buffering=0) as out:
            shutil.copyfileobj(file, out)


def _take_over(partial: Path, target: Path, fresh: int) -> None:
    """Give a file the mode, and where we may the owner, of the file that it is to replace."""
    try:
        old = os.stat(target)
    except FileNotFoundError:
        os.chmod(partial, stat.S_IMODE(fresh))  # some writers make theirs 0600
        return
    with contextlib.suppress(OSError, AttributeError):  # Windows has no owners of this kind
        os.chown(partial, old.st_uid, old.st_gid)
    os.chmod(partial, stat.S_IMODE(old.st_mode))


def _sync(path: Path) -> None:
    """Have a file's bytes, or a folder's names, on the disk; a file system that cannot do it for folders need not."""
    if _WINDOWS and path.is_dir():  # which opens no folders
        return
    number = os.open(path, os.O_RDWR if _WINDOWS else os.O_RDONLY)  # Windows syncs what is open to be written
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(number)


def resolved(path: str | os.PathLike[str]) -> Path:
    """The file behind links, ``~`` expanded; a device stays as named, since /dev/stdout leads to no name at all."""
    mode, path = _mode(path), os.path.expanduser(path)
    return Path(path if mode is not None and not stat.S_ISREG(mode) else os.path.realpath(path))


def _mode(path: str | os.PathLike[str]) -> int | None:
    """What a path is, links followed, or None if there is nothing; a sentence if nothing can ever be there."""
    try:
        return os.stat(os.path.expanduser(path)).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"results cannot be written to {_quoted(path)}: {str(reason).lower()}.") from error


def _is_among(target: Path, inputs: Iterable[str | os.PathLike[str]]) -> bool:
    found = os.stat(target)
    for each in inputs:
        with contextlib.suppress(OSError, ValueError, TypeError):
            if os.path.samestat(found, os.stat(os.path.expanduser(each))):
                return True
    return False


def _quoted(path: str | os.PathLike[str]) -> str:
    shown = repr(os.fspath(path))
    return shown if len(shown) <= 120 else f"{shown[:70]}…{shown[-45:]}"
