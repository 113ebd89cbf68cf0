"""Shards read ahead of the decoding by a thread, bounded in bytes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator

from ..images.memory import Room
from ..images.source import ImageSource, NoImage
from .members import Shard, ShardError
from .stores import stalled, store_error, timeout

AHEAD_BYTES = 64 << 20
_LEAST = 16 << 10  # bytes that an image counts as, so that small ones are bounded in number


def read_ahead(shard: Shard, most_bytes: int = AHEAD_BYTES) -> Generator[ImageSource, None, None]:
    """Yield a shard's images in their order; a thread reads them, so that a store's delays add up to one.

    Args:
        shard: The shard.
        most_bytes: That may wait; a single image may have more.

    Raises:
        ShardError: The shard cannot be read, or nothing has come for ``CLIPIQA_STORE_TIMEOUT`` seconds.
    """
    room, coming = Room(most_bytes), queue.SimpleQueue[ImageSource | Exception | None]()

    def fill() -> None:
        end = None
        try:
            for source in shard.entries():
                if not room.take(_size(source)):
                    break
                coming.put(source)
        except Exception as error:
            end = error
        coming.put(end)

    threading.Thread(target=fill, daemon=True, name="clipiqa-read").start()
    try:
        while True:
            try:
                source = coming.get(timeout=timeout())
            except queue.Empty:
                raise stalled(shard.name) from None
            if isinstance(source, Exception):
                raise store_error(shard.name, source) from source
            if source is None:
                return
            room.give(_size(source))
            yield source
    finally:
        room.close()


def images_of(shard: Shard) -> Iterator[ImageSource]:
    """:func:`read_ahead`, where a shard that cannot be read ends with an image that cannot be read."""
    try:
        yield from read_ahead(shard)
    except ShardError as error:
        reason = error.reason if error.name == shard.name else f"cannot be read: {str(error).rstrip('.')}"
        yield NoImage(shard.name, reason, error.kind)


def _size(source: ImageSource) -> int:
    return max(_LEAST, getattr(source, "size", 0))
