"""Files on disk or in a store that the library fsspec opens, alone or in folders."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import ImageError, Kind
from ..files.writing import write_bytes
from ..images.source import MISSING, FileSource, ImageSource, image_suffixes, reason, stamp_of
from .shards import ShardError

_BLOCK = 8 << 20  # bytes read from a store at once
# What stores call a file's checksum or time, the checksum first. fsspec's ukey() hashes only the address for http.
_MARKS = ("ETag", "etag", "blob_id", "sha", "CRC", "LastModified", "Last-Modified", "last_modified", "mtime", "created")


def is_remote(name: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+(::.*)?://", name) is not None


def address_of(place: str | os.PathLike[str]) -> str:
    """Return a path or address as text; restore the slash that ``Path('s3://x')`` loses."""
    path = re.sub(r"^(file|local):/+", "/", os.fspath(place))
    return os.path.expanduser(re.sub(r"^(\w\w+):/(?!/)", r"\1://", path))


@contextlib.contextmanager
def in_store(name: str) -> Iterator[tuple[Any, str]]:
    """Give fsspec's file system for an address, and the path in it. Raises ``ShardError``."""
    with as_shard_error(name):
        import fsspec

        yield fsspec.core.url_to_fs(name)


@contextlib.contextmanager
def as_shard_error(name: str) -> Iterator[None]:
    try:
        yield
    except ShardError:
        raise
    except Exception as error:  # stores raise almost anything
        if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, OSError):
            error = error.__cause__  # fsspec's HTTP reports a refused connection as a missing file
        if isinstance(error, FileNotFoundError):
            raise ShardError("does not exist", Kind.MISSING, name) from error
        raise ShardError(f"cannot be read: {reason(error)}", Kind.UNREADABLE, name) from error


def opened(name: str) -> IO[bytes]:
    if is_remote(name):
        with in_store(name) as (fs, path):
            return fs.open(path, "rb", block_size=_BLOCK, cache_type="readahead")
    with as_shard_error(name):
        return open(name, "rb")


def write_whole(name: str, data: bytes) -> None:
    if is_remote(name):
        with in_store(name) as (fs, path):
            fs.pipe_file(path, data)
    else:
        os.makedirs(os.path.dirname(name), exist_ok=True)
        write_bytes(name, data)


def joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else str(Path(folder, name))


class StoreSource:
    def __init__(self, name: str) -> None:
        self.name = name

    def stamp(self) -> str | None:
        """Return size and checksum or time, from a listing or one request: see :func:`stamp_of`."""
        try:
            with in_store(self.name) as (fs, path):
                info = fs.info(path)
        except ShardError as error:
            return MISSING if error.kind is Kind.MISSING else None
        mark = next((info[name] for name in _MARKS if info.get(name)), None)
        return None if mark is None else f"{info.get('size')} {mark}"

    def read(self) -> bytes:
        try:
            with in_store(self.name) as (fs, path):
                data: bytes = fs.cat_file(path)
                return data
        except ShardError as error:
            raise ImageError(error.reason, error.kind, error.name) from error


def source_at(name: str) -> ImageSource:
    return StoreSource(name) if is_remote(name) else FileSource(name)


@dataclass
class ShardFile:
    """A shard that is one file, on disk or in a store; ``keep`` names values for rows."""

    name: str
    keep: Sequence[str] = ()
    image_column: str | None = None

    def stamp(self) -> str | None:
        return stamp_of(source_at(self.name))


def files_below(folder: str | os.PathLike[str], unreadable: list[ImageError] | None = None) -> list[str]:
    """Return the files in a folder and its sub-folders, sorted, without hidden files.

    Links to folders are followed last; each real folder is read once. ``unreadable`` collects folders' errors; if None,
    the first is raised.
    """
    found = list[str]()
    if isinstance(folder, str) and is_remote(folder):
        with in_store(folder) as (fs, path), contextlib.suppress(FileNotFoundError):
            below = sorted(file[len(fs._strip_protocol(path)) :] for file in fs.find(path))
            found = [folder.rstrip("/") + file for file in below if "/." not in file]
        return found

    def refuse(error: OSError) -> None:
        name = os.fsdecode(error.filename)
        problem = ImageError(f"is a folder that cannot be read: {reason(error)}", Kind.UNREADABLE, name)
        if unreadable is None:
            raise problem from error
        unreadable.append(problem)

    linked, seen = [os.fspath(folder)], set[tuple[int, int]]()
    while linked:
        for parent, folders, files in os.walk(linked.pop(0), onerror=refuse):
            status = os.stat(parent)
            if (identity := (status.st_dev, status.st_ino)) in seen:
                folders.clear()
                continue
            seen.add(identity)
            found += [os.path.join(parent, file) for file in sorted(files) if file[0] != "."]
            shown = sorted(name for name in folders if name[0] != ".")
            links = [path for name in shown if os.path.islink(path := os.path.join(parent, name))]
            linked += links
            folders[:] = [name for name in shown if os.path.join(parent, name) not in links]
    return found


def images_in(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the image files in a folder and its sub-folders, sorted. Raises ``ImageError``."""
    suffixes = image_suffixes()
    return (file for file in files_below(folder) if suffix_of(file) in suffixes)


def suffix_of(name: str) -> str:
    return os.path.splitext(name)[1].lower()
