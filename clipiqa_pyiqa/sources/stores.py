"""Files wherever they are: on disk, or in a store that fsspec knows (``s3://``, ``gs://``, ``hf://``, ``https://``).

Whatever a store does, it is one sentence: its package is missing, it refuses, it does not answer, it has no such file.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from ..errors import ImageError, Kind
from ..files.writing import write_bytes
from ..images.source import FileSource, ImageSource, reason
from .members import ShardError

Answer = TypeVar("Answer")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:::|://)")  # fsspec chains with `::`
_BLOCK = 8 << 20  # bytes read from a store at once


def timeout() -> float:
    """Return the seconds after which a silent store counts as stalled: ``CLIPIQA_STORE_TIMEOUT``, or 120."""
    try:
        return float(os.environ.get("CLIPIQA_STORE_TIMEOUT", 120))
    except ValueError:
        return 120.0


def scheme(name: str) -> str | None:
    """Return ``'s3'`` for ``s3://bucket/x``, and None for a path."""
    found = _SCHEME.match(name)
    return found[1].lower() if found and "://" in name else None


def local_path(name: str) -> str | None:
    """Return the path of a file on this machine, also of ``file://…``; None of one in a store."""
    if (kind := scheme(name)) is None:
        return name
    return name.split("://", 1)[1] if kind in ("file", "local") else None


def address_of(place: str | os.PathLike[str]) -> str:
    """Return a path or address as a text; ``Path('s3://x')``, which is ``s3:/x``, becomes ``s3://x`` again."""
    address = re.sub(r"^(\w\w+):/(?!/)", r"\1://", os.fspath(place))
    return os.path.expanduser(re.sub(r"^(file|local)://(?!/)", r"\1:///", address))


def store(name: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path in it.

    Raises:
        ShardError: The address is of an unknown store, or the store's package is missing.
    """
    import fsspec

    if scheme(name) not in {*fsspec.available_protocols(), *fsspec.registry}:
        why = "is not in a store that fsspec knows: use a path, s3://, gs://, hf://, https:// or the like"
        raise ShardError(why, Kind.UNREADABLE, name)
    return answered(lambda: fsspec.core.url_to_fs(name), name)


def answered(ask: Callable[[], Answer], name: str) -> Answer:
    """Return what a store answers, within :func:`timeout`.

    Raises:
        ShardError: It refuses, or does not answer; the message names ``name``.
    """
    result: list[Any] = []

    def attempt() -> None:
        try:
            result.append((ask(), None))
        except Exception as error:  # stores raise almost anything
            result.append((None, error))

    thread = threading.Thread(target=attempt, daemon=True, name="clipiqa-store")
    thread.start()
    thread.join(timeout())
    if not result:
        raise stalled(name)
    answer, error = result[0]
    if error is not None:
        raise store_error(name, error) from error
    return answer


def stalled(name: str) -> ShardError:
    """Return the error of a store that sends nothing."""
    why = f"stalls: its store has sent nothing for {timeout():g} seconds; run again, or raise CLIPIQA_STORE_TIMEOUT"
    return ShardError(why, Kind.STALLED, name)


def store_error(name: str, error: BaseException) -> ShardError:
    """Return what a store said as an error about a file."""
    if isinstance(error, ShardError):
        return error
    if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, ConnectionError | OSError):
        error = error.__cause__  # what fsspec's HTTP takes for a missing file
    if isinstance(error, FileNotFoundError):
        return ShardError("does not exist", Kind.MISSING, name)
    # An ImportError is fsspec's: "Install s3fs to access S3".
    return ShardError(f"cannot be read: {reason(error)}", Kind.UNREADABLE, name)


@contextlib.contextmanager
def opened(name: str) -> Iterator[IO[bytes]]:
    """Open a file for reading, wherever it is. Raises ``ShardError``."""
    path = local_path(name)
    if path is not None:
        try:
            file: IO[bytes] = open(path, "rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise store_error(name, error) from error
    else:
        fs, path = store(name)
        file = answered(lambda: fs.open(path, "rb", block_size=_BLOCK, cache_type="readahead"), name)
    with file:
        yield file


def write_whole(name: str, data: bytes) -> None:
    """Write a file whole or not at all: on disk beside its place and renamed, in a store in one put."""
    if (path := local_path(name)) is not None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_bytes(path, data)
    else:
        fs, path = store(name)
        answered(lambda: fs.pipe_file(path, data), name)


def files_below(folder: str, **options: Any) -> list[str]:
    """Return the files in a folder and its sub-folders, without hidden ones; options are fsspec's ``find``'s."""
    if (path := local_path(folder)) is not None:
        prefix = folder[: len(folder) - len(path)]
        found = [prefix + os.path.join(parent, name) for parent, _, names in os.walk(path) for name in names]
    else:
        fs, path = store(folder)
        root = len(fs._strip_protocol(path))
        found = [folder.rstrip("/") + each[root:] for each in answered(lambda: fs.find(path, **options), folder)]
    start = len(folder.rstrip("/"))
    return sorted(name for name in found if not any(part.startswith(".") for part in name[start:].split("/")))


def joined(folder: str, name: str) -> str:
    """Return a file in a folder."""
    return f"{folder.rstrip('/')}/{name}" if scheme(folder) else str(Path(folder, name))


class StoreSource:
    """An image file in a store, named by its address."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self) -> bytes:
        def whole() -> bytes:
            fs, path = store(self.name)
            return fs.cat_file(path)

        try:
            data = answered(whole, self.name)
        except ShardError as error:
            raise ImageError(error.reason, error.kind, error.name) from error
        if not data:
            raise ImageError("is empty (0 bytes)", Kind.EMPTY, self.name)
        return data


def source_at(name: str) -> ImageSource:
    """Return the image file at a path or an address."""
    path = local_path(name)
    return StoreSource(name) if path is None else FileSource(path)
