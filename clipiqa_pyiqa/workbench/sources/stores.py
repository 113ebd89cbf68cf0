"""Files on disk, or in a store that the library fsspec opens."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, NamedTuple

from ...errors import Kind
from ...files import open_file, write_bytes
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


class FilesBelow(NamedTuple):
    """The files in a folder and its sub-folders, sorted, without hidden ones.

    Attributes:
        unreadable: Folder that cannot be read -> the reason.
    """

    files: list[str]
    unreadable: dict[str, str]


def files_below(folder: str) -> FilesBelow:
    """Return the files in a folder, on disk or in a store; each real folder is read once."""
    return FilesBelow(_files_in_store(folder), {}) if is_remote(folder) else _files_on_disk(folder)


def _files_in_store(folder: str) -> list[str]:
    with in_store(folder) as (fs, path), suppress(FileNotFoundError):
        fs.invalidate_cache()  # fsspec keeps listings: a file that was written since would be missing
        below = sorted(file[len(fs._strip_protocol(path)) :] for file in fs.find(path))
        return [folder.rstrip("/") + file for file in below if "/." not in file]
    return []


def _files_on_disk(folder: str) -> FilesBelow:
    files = list[str]()
    unreadable = dict[str, str]()
    seen = set[tuple[int, int]]()  # devices and inodes of folders, which links may name again

    def add_unreadable(error: OSError) -> None:
        unreadable[os.fsdecode(error.filename)] = reason_of(error)

    for parent, folders, names in os.walk(folder, onerror=add_unreadable, followlinks=True):
        status = os.stat(parent)
        identity = (status.st_dev, status.st_ino)
        if identity in seen:
            folders.clear()
            continue
        seen.add(identity)
        files += [os.path.join(parent, name) for name in sorted(names) if name[0] != "."]
        folders[:] = sorted(name for name in folders if name[0] != ".")
    return FilesBelow(files, unreadable)
