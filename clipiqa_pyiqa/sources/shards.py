"""Shards: collections of images that are read one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from ..errors import CLIPIQAError
from ..files.names import printable
from ..images.source import FileSource, ImageSource, stamp_of

LOOSE = 10_000  # the most loose files in one numbered shard
MOST_BYTES = 1 << 30  # the largest size of an image in an archive


class ShardError(CLIPIQAError):
    """A shard that cannot be read."""


@runtime_checkable
class Shard(Protocol):
    """A named collection of images; an image's name is ``NAME::MEMBER``."""

    @property
    def name(self) -> str: ...

    def entries(self) -> Iterator[ImageSource]:
        """Yield the images in order. Raises ``ShardError``."""


class ShardImage:
    """An image in a shard: bytes that can be read once, and kept columns."""

    shard_stamp: str | None = None
    """The stamp that its shard had when the shard's turn came."""

    def __init__(self, name: str, data: bytes, kept: Mapping[str, Any] | None = None) -> None:
        self.name, self._data, self.kept = name, data, kept or {}
        self.size = len(data)

    def stamp(self) -> str | None:
        return self.shard_stamp

    def read(self) -> bytes:
        data, self._data = self._data, b""
        return data


@dataclass
class FilesShard:
    """Up to ``LOOSE`` files outside of archives."""

    number: int
    sources: Sequence[ImageSource]
    kind: ClassVar[str] = "files"

    @property
    def name(self) -> str:
        return f"files-{self.number:05d}"

    def stamp(self) -> str | None:
        """Return a hash of the files' names and stamps; None if a file has no stamp."""
        is_local = all(isinstance(source, FileSource) for source in self.sources)
        with ThreadPoolExecutor(16) as pool:  # web servers answer a request for each file
            stamps = list((map if is_local else pool.map)(stamp_of, self.sources))
        text = repr([[printable(source.name) for source in self.sources], stamps])
        return None if None in stamps else hashlib.sha256(text.encode()).hexdigest()

    def entries(self) -> Iterator[ImageSource]:
        return iter(self.sources)
