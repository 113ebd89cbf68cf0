"""Shards read by a thread ahead of decoding."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator

from ..images.memory import Room
from ..images.source import ImageSource
from .members import Shard
from .stores import stalled, store_error, timeout

AHEAD_BYTES = 64 << 20
_LEAST = 16 << 10  # bytes that an image counts as, so that small images are bounded in number


def read_ahead(shard: Shard, most_bytes: int = AHEAD_BYTES) -> Generator[ImageSource, None, None]:
    """Yield a shard's images in order, while a thread reads up to ``most_bytes`` ahead.

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


def _size(source: ImageSource) -> int:
    return max(_LEAST, getattr(source, "size", 0))
