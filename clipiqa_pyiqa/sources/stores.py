"""Files on disk or in a store that the library fsspec opens."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, TypeVar

from ..errors import ImageError, Kind
from ..files.writing import write_bytes
from ..images.source import FileSource, ImageSource, reason
from .members import ShardError

Answer = TypeVar("Answer")
_BLOCK = 8 << 20  # bytes read from a store at once


def timeout() -> float:
    """Return the seconds that a store has to answer."""
    return float(os.environ.get("CLIPIQA_STORE_TIMEOUT", 120))


def is_remote(name: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+(::.*)?://", name) is not None


def address_of(place: str | os.PathLike[str]) -> str:
    """Return a path or address as text; restore the slash that ``Path('s3://x')`` loses."""
    path = re.sub(r"^(file|local):/+", "/", os.fspath(place))
    return os.path.expanduser(re.sub(r"^(\w\w+):/(?!/)", r"\1://", path))


def store(name: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path in it."""
    import fsspec

    return fsspec.core.url_to_fs(name)


def answered(ask: Callable[[], Answer], name: str) -> Answer:
    """Return the result of ``ask``, which waits for a store. Raises ``ShardError`` after :func:`timeout`."""
    answer: Future[Answer] = Future()

    def attempt() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:  # stores raise almost anything
            answer.set_exception(error)

    threading.Thread(target=attempt, daemon=True, name="clipiqa-store").start()
    try:
        return answer.result(timeout())
    except Exception as error:
        raise (store_error(name, error) if answer.done() else stalled(name)) from error


def stalled(name: str) -> ShardError:
    why = f"stalls: its store has sent nothing for {timeout():g} seconds; run again, or increase CLIPIQA_STORE_TIMEOUT"
    return ShardError(why, Kind.STALLED, name)


def store_error(name: str, error: BaseException) -> ShardError:
    if isinstance(error, ShardError):
        return error
    if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, ConnectionError | OSError):
        error = error.__cause__  # fsspec's HTTP reports a refused connection as a missing file
    if isinstance(error, FileNotFoundError):
        return ShardError("does not exist", Kind.MISSING, name)
    return ShardError(f"cannot be read: {reason(error)}", Kind.UNREADABLE, name)


@contextlib.contextmanager
def opened(name: str) -> Iterator[IO[bytes]]:
    def open_file() -> IO[bytes]:
        if not is_remote(name):
            return open(name, "rb")
        fs, path = store(name)
        return fs.open(path, "rb", block_size=_BLOCK, cache_type="readahead")

    with answered(open_file, name) as file:
        yield file


def write_whole(name: str, data: bytes) -> None:
    """Write a file whole or not at all."""

    def put() -> None:
        fs, path = store(name)
        fs.pipe_file(path, data)

    if is_remote(name):
        answered(put, name)
    else:
        os.makedirs(os.path.dirname(name), exist_ok=True)
        write_bytes(name, data)


def files_below(folder: str) -> list[str]:
    """Return the files in a folder and its sub-folders, sorted, without hidden files."""

    def find() -> list[str]:
        fs, path = store(folder)
        root = len(fs._strip_protocol(path))
        return [folder.rstrip("/") + file[root:] for file in fs.find(path)]

    if is_remote(folder):
        try:
            found = answered(find, folder)
        except ShardError as error:
            if error.kind != Kind.MISSING:
                raise
            found = []
    else:
        found = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    start = len(folder.rstrip("/"))
    return sorted(name for name in found if not any(part.startswith(".") for part in name[start:].split("/")))


def joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else str(Path(folder, name))


class StoreSource:
    def __init__(self, name: str) -> None:
        self.name = name

    def read(self) -> bytes:
        def read_all() -> bytes:
            fs, path = store(self.name)
            return fs.cat_file(path)

        try:
            data = answered(read_all, self.name)
        except ShardError as error:
            raise ImageError(error.reason, error.kind, error.name) from error
        if not data:
            raise ImageError("is empty (0 bytes)", Kind.EMPTY, self.name)
        return data


def source_at(name: str) -> ImageSource:
    return StoreSource(name) if is_remote(name) else FileSource(name)
