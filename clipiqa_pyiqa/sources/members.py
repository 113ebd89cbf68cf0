"""What a shard is, and what comes out of one: images with their bytes, in order, and columns that are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from ..errors import CLIPIQAError, ImageError, Kind
from ..images.source import ImageSource

LOOSE = 10_000  # files in a numbered shard of files
MOST_BYTES = 1 << 30  # of one image or one sidecar, however much an archive claims


class ShardError(CLIPIQAError):
    """A shard that cannot be read: it has no result, and the next run tries it again."""


@runtime_checkable
class Shard(Protocol):
    """Images that are read one after the other; anything with a name and ``entries`` is one.

    Attributes:
        name: Its path or address; an image in it is called ``NAME::MEMBER``.
    """

    @property
    def name(self) -> str: ...

    def entries(self) -> Iterator[ImageSource]:
        """The images in their order, read as they are asked for. Raises ``ShardError``."""


class Entry:
    """An image out of a shard: its bytes until they are read, once, and its kept columns.

    Args:
        name: ``SHARD::MEMBER``.
        data: The bytes.
        kept: Name -> value of what is kept beside the scores.
    """

    def __init__(self, name: str, data: bytes, kept: Mapping[str, Any] | None = None) -> None:
        self.name, self._data, self.kept = name, data, kept or {}
        self.size = len(data)

    def read(self) -> bytes:
        """Return the bytes, and let go of them."""
        data, self._data = self._data, b""
        if not data:
            raise ImageError("is empty (0 bytes)", Kind.EMPTY, self.name)
        return data


@dataclass
class FilesShard:
    """Files that belong to no shard, up to ``LOOSE`` of them.

    Attributes:
        number: Which of the numbered shards.
        sources: The files.
    """

    number: int
    sources: Sequence[ImageSource]
    kind: ClassVar[str] = "files"
    fraction: float = 0.0

    @property
    def name(self) -> str:
        return f"files-{self.number:05d}"

    def entries(self) -> Iterator[ImageSource]:
        """The files; ``fraction`` of them are read."""
        for count, source in enumerate(self.sources):
            self.fraction = count / len(self.sources)
            yield source
