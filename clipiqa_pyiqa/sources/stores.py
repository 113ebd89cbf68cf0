"""Files wherever they are: on disk, or in a store that fsspec knows (``s3://``, ``gs://``, ``hf://``, ``https://``).

Whatever a store does, it is one sentence: its package is missing, it refuses, it does not answer, it has no such file.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar

from ..errors import ImageError, Kind
from ..images.source import FileSource, ImageSource, reason
from .members import ShardError

Answer = TypeVar("Answer")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:::|://)")  # fsspec chains with `::`
_BLOCK = 8 << 20  # read from a store at once
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "az": "adlfs",
             "abfs": "adlfs", "http": "aiohttp", "https": "aiohttp", "sftp": "paramiko", "ssh": "paramiko"}  # fmt: skip


def timeout() -> float:
    """Seconds after which a store that does not answer counts as stalled: ``CLIPIQA_STORE_TIMEOUT``, or 120."""
    try:
        return float(os.environ.get("CLIPIQA_STORE_TIMEOUT", 120))
    except ValueError:
        return 120.0


def scheme(name: str) -> str | None:
    """``'s3'`` of ``s3://bucket/x``; None of a path."""
    found = _SCHEME.match(name)
    return found[1].lower() if found and "://" in name else None


def local_path(name: str) -> str | None:
    """The path of a file on this machine, also of ``file://…``; None of one in a store."""
    if (kind := scheme(name)) is None:
        return name
    return name.split("://", 1)[1] if kind in ("file", "local") else None


def store(name: str) -> tuple[Any, str]:
    """fsspec's file system for an address, and the path in it.

    Raises:
        ShardError: The address is of no store that is known, or the store's package is missing.
    """
    import fsspec

    kind = str(scheme(name))
    if kind not in {*fsspec.available_protocols(), *fsspec.registry}:
        why = "is in no store that is known: use a path, s3://, gs://, hf://, https:// or the like"
        raise ShardError(why, Kind.UNREADABLE, name)
    try:
        return answered(lambda: fsspec.core.url_to_fs(name), name)
    except ShardError as error:
        if isinstance(error.__cause__, ImportError):
            package = _PACKAGES.get(kind, kind)
            why = f"needs the package {package}, which is missing: run `pip install {package}`"
            raise ShardError(why, Kind.UNREADABLE, name) from None
        raise


def answered(ask: Callable[[], Answer], name: str) -> Answer:
    """What a store answers, within :func:`timeout`.

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
    return ShardError(
        f"stalls: its store has sent nothing for {timeout():g} seconds; run again later, or give it more time with "
        "CLIPIQA_STORE_TIMEOUT",
        *(Kind.STALLED, name),
    )


def store_error(name: str, error: BaseException) -> ShardError:
    """What a store said, as a sentence about a file."""
    if isinstance(error, ShardError):
        return error
    if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, ConnectionError | OSError):
        error = error.__cause__  # what fsspec's HTTP takes for a missing file
    if isinstance(error, FileNotFoundError):
        return ShardError("does not exist", Kind.MISSING, name)
    return ShardError(f"cannot be read: {reason(error)}", Kind.UNREADABLE, name)


@contextlib.contextmanager
def opened(name: str) -> Iterator[IO[bytes]]:
    """A file open for reading, wherever it is.

    Raises:
        ShardError: It cannot be opened.
    """
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
    """The image file at a path or an address."""
    path = local_path(name)
    return StoreSource(name) if path is None else FileSource(path)
