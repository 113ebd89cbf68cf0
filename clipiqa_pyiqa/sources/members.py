"""Shards: many images under one name, which are read one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from ..errors import CLIPIQAError, ImageError, Kind
from ..images.source import ImageSource

LOOSE = 10_000  # files in a numbered shard of files
MOST_BYTES = 1 << 30  # of one image in an archive


class ShardError(CLIPIQAError):
    """A shard that cannot be read."""


@runtime_checkable
class Shard(Protocol):
    """Anything with a name and images; an image in it is called ``NAME::MEMBER``."""

    @property
    def name(self) -> str: ...

    def entries(self) -> Iterator[ImageSource]:
        """Yield the images in order. Raises ``ShardError``."""


class Entry:
    """An image in a shard: its bytes, which can be read once, and its kept columns."""

    def __init__(self, name: str, data: bytes, kept: Mapping[str, Any] | None = None) -> None:
        self.name, self._data, self.kept = name, data, kept or {}
        self.size = len(data)

    def read(self) -> bytes:
        """Return the bytes, and release them."""
        data, self._data = self._data, b""
        if not data:
            raise ImageError("is empty (0 bytes)", Kind.EMPTY, self.name)
        return data


@dataclass
class FilesShard:
    """Up to ``LOOSE`` files that are in no shard."""

    number: int
    sources: Sequence[ImageSource]
    kind: ClassVar[str] = "files"

    @property
    def name(self) -> str:
        return f"files-{self.number:05d}"

    def entries(self) -> Iterator[ImageSource]:
        return iter(self.sources)
