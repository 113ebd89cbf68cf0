"""The one way to write a file: whole or not at all, and never over a file that is not ours.

    target = check_output(args.out, overwrite=args.overwrite, inputs=photos)   # before any work; `~` and links resolved
    folder = check_folder(args.out, ["rank.csv", "rank.png"], overwrite=args.overwrite, inputs=[scores])
    with replacing(target) as partial:      # a free path beside the target, with its suffix
        figure.savefig(partial)             # anything that writes to a path; at the end of the block: fsync, rename
    write_text(target, page)                # the same for a text (UTF-8), `write_bytes` for bytes

``replacing`` gives the new file the mode of the old one, or what the umask says, and replaces a link's target, not the
link. Pipes and devices are refused, since a rename would replace them. A full disk is an ``OutputError``; other
exceptions of the block pass, and then nothing has changed. For what grows row by row there is ``journal``, and for what
is appended or resumed ``locking``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError
from ..errors.arguments import checked

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a fresh path beside ``path`` to write to; it is renamed to ``path`` if the block ends well, else removed.

    Raises:
        OutputError: The file cannot be written, or is not a regular file.
    """
    target = resolved(path)
    _check_kind(path)
    partial = _beside(target, f".{uuid.uuid4().hex[:8]}.partial")
    try:
        with _explained(path, partial):
            partial.touch(0o666, exist_ok=False)
            mode = (target if target.exists() else partial).stat().st_mode  # some writers make theirs 0600
            yield partial
            os.chmod(partial, stat.S_IMODE(mode))
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, target)
        with contextlib.suppress(OSError):  # some file systems, and Windows, cannot sync a folder
            number = os.open(target.parent, os.O_RDONLY)
            os.fsync(number)
            os.close(number)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _beside(target: Path, ending: str) -> Path:
    """Return a hidden path beside a file, with the file's suffix; names that are too long are cut."""
    suffix = target.suffix if len(os.fsencode(target.suffix)) < 16 else ""
    return target.with_name(f".{os.fsdecode(os.fsencode(target.name)[:200])}{ending}{suffix}")


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all; see ``replacing``."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text, with the line ends it has, whole or not at all; what is not Unicode becomes ``\\xNN``."""
    write_bytes(path, text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").encode())


@checked
def check_output(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    ours: Callable[[Path], bool] | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    way_out: str = "pass overwrite to replace it, or name another file",
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
    target = resolved(path)
    _check_kind(path)
    if not target.parent.is_dir():
        raise OutputError(f"cannot write to {_quoted(path)}: there is no folder {_quoted(target.parent)}.")
    exists = target.exists()
    if not all(os.access(each, os.W_OK) for each in [target.parent, *[target] * exists]):
        raise OutputError(f"cannot write to {_quoted(path)}: permission denied.")
    if exists and any(_is_same(target, each) for each in inputs):
        raise OutputError(f"{_quoted(path)} is one of the inputs and is not replaced: name another output.")
    if exists and not overwrite and not (ours is not None and ours(target)):
        raise OutputError(f"{_quoted(path)} exists already: {way_out}.")
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
    target, inputs = resolved(folder), list(inputs)
    if target.exists() and not target.is_dir():
        raise OutputError(f"{_quoted(folder)} is not a folder: name another one.")
    with _explained(folder, target):
        target.mkdir(parents=True, exist_ok=True)
    way_out = "pass overwrite to replace it, or name another folder"
    for name in names:
        check_output(target / str(name), overwrite=overwrite, ours=ours, inputs=inputs, way_out=way_out)
    return target


def resolved(path: str | os.PathLike[str]) -> Path:
    """Return the file behind links, with ``~`` expanded.

    Raises:
        OutputError: There can be no such file.
    """
    try:
        found = Path(os.path.realpath(os.path.expanduser(path)))
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.stat(found)
        return found
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write to {_quoted(path)}: {str(reason).lower()}.") from error


def _check_kind(path: str | os.PathLike[str]) -> None:
    given = Path(os.path.expanduser(path))
    if given.exists() and not given.is_file():
        kind = "a folder" if given.is_dir() else "a pipe, a socket or a device"
        raise OutputError(f"results cannot be written to {_quoted(path)}, which is {kind}: name a file.")


def _is_same(target: Path, other: str | os.PathLike[str]) -> bool:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return os.path.samefile(target, os.path.expanduser(other))
    return False


@contextmanager
def _explained(path: str | os.PathLike[str], written: Path) -> Iterator[None]:
    """Turn what the system says about the file being written, and nothing else, into a sentence."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno not in _OF_THE_DISK and error.filename not in (str(path), str(written), str(resolved(path))):
            raise
        reason = error.strerror or str(error)
        if isinstance(error, PermissionError):  # Windows does not replace a file that any program has open
            reason += "; close it, if another program has it open"
        raise OutputError(f"cannot write to {_quoted(path)}: {reason}.") from error


def _quoted(path: str | os.PathLike[str]) -> str:
    shown = repr(os.fspath(path))
    return shown if len(shown) <= 120 else f"{shown[:70]}…{shown[-45:]}"
