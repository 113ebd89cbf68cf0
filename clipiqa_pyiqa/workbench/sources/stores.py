"""Files on disk, or in a store that the library fsspec opens."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from ...errors import Kind
from ...files.reading import open_file
from ...files.writing import write_bytes
from ...text import reason_of
from .addresses import is_remote
from .shard_error import ShardError

_BLOCK = 8 << 20  # bytes read from a store at once


@contextmanager
def in_store(name: str, done: str = "read") -> Iterator[tuple[Any, str]]:
    """Give fsspec's file system for an address, and the path in it. Raises ``ShardError``.

    Args:
        done: What is done with the file, in the words of an error.
    """
    with as_shard_error(name, done):
        import fsspec

        yield fsspec.core.url_to_fs(name)


@contextmanager
def as_shard_error(name: str, done: str = "read") -> Iterator[None]:
    """Raise any error as a ``ShardError``; arguments as for :func:`in_store`."""
    try:
        yield
    except ShardError:
        raise
    except Exception as error:  # stores raise almost anything
        if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, OSError):
            error = error.__cause__  # fsspec's HTTP reports a refused connection as a missing file
        if isinstance(error, FileNotFoundError):
            raise ShardError("does not exist", Kind.MISSING, name) from error
        raise ShardError(f"cannot be {done}: {reason_of(error)}", Kind.UNREADABLE, name) from error


def opened(name: str) -> IO[bytes]:
    """Return an open file, on disk or in a store. Raises ``ShardError``."""
    if is_remote(name):
        with in_store(name) as (fs, path):
            return fs.open(path, "rb", block_size=_BLOCK, cache_type="readahead")
    with as_shard_error(name):
        return open_file(name)


def exists(name: str) -> bool:
    """Return whether a store has a file. Raises ``ShardError``."""
    with in_store(name) as (fs, path):
        return bool(fs.exists(path))


def write_whole(name: str, data: bytes) -> None:
    """Write a file, on disk or in a store, and its folder. Raises ``ShardError`` or ``OSError``."""
    if is_remote(name):
        with in_store(name, "written") as (fs, path):
            fs.pipe_file(path, data)
    else:
        os.makedirs(os.path.dirname(name), exist_ok=True)
        write_bytes(name, data)


def write_new(name: str, data: bytes) -> None:
    """Write a file of a store that is not there, or raise a ``ShardError`` from a ``FileExistsError``."""
    with in_store(name, "written") as (fs, path):
        try:
            fs.pipe_file(path, data, mode="create")
        except FileNotFoundError:  # only some stores have folders
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            fs.pipe_file(path, data, mode="create")


def remove(name: str) -> None:
    """Remove a file, on disk or in a store. Raises ``ShardError``."""
    with in_store(name, "removed") as (fs, path):
        fs.rm_file(path)


def files_below(folder: str, note: Callable[[str, str, Kind], object] = lambda name, why, kind: None) -> list[str]:
    """Return the files in a folder and its sub-folders, sorted, without hidden files; each real folder is read once.

    ``note`` is called for each folder that cannot be read.
    """
    files = list[str]()
    seen = set[tuple[int, int]]()
    if is_remote(folder):
        with in_store(folder) as (fs, path), suppress(FileNotFoundError):
            fs.invalidate_cache()  # fsspec keeps listings: a file that was written since would be missing
            below = sorted(file[len(fs._strip_protocol(path)) :] for file in fs.find(path))
            files = [folder.rstrip("/") + file for file in below if "/." not in file]
        return files

    def failed(error: OSError) -> None:
        note(os.fsdecode(error.filename), f"is a folder that cannot be read: {reason_of(error)}", Kind.UNREADABLE)

    for parent, folders, names in os.walk(folder, onerror=failed, followlinks=True):
        status = os.stat(parent)
        if (identity := (status.st_dev, status.st_ino)) in seen:
            folders.clear()
            continue
        seen.add(identity)
        files += [os.path.join(parent, name) for name in sorted(names) if name[0] != "."]
        folders[:] = sorted(name for name in folders if name[0] != ".")
    return files
