"""Images of many sources, one after the other, and the image files that paths name."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator

from ..errors import Kind
from ..errors.arguments import checked
from ..images.memory import Room
from ..images.source import FileSource, ImageSource, NoImage, stamp_of
from .finding import Found, Item, find_shards, is_shard
from .shards import Shard, ShardError, ShardImage
from .stores import as_shard_error

AHEAD_BYTES = 64 << 20
_LEAST = 16 << 10  # a smaller image counts as this many bytes, which limits the number of small images


@checked
def find_inputs(arguments: Iterable[str]) -> Found:
    """Return what :func:`~.finding.find_shards` finds; ``problems`` names all that is no image file on this machine."""
    found = find_shards(arguments, archives=False)
    for item in found.items:
        if not isinstance(item, FileSource) and item.name not in found.problems:
            found.problems[item.name] = f"{item.name!r} is not an image file or a folder on this machine"
    return found


def sources_of(items: Iterable[Item]) -> Iterator[ImageSource]:
    """Yield the images of what :func:`~.finding.find_shards` has found; an unreadable shard is a ``NoImage``."""
    for item in items:
        if not is_shard(item):
            yield item
        else:
            is_empty = True
            try:
                for source in read_ahead(item):
                    is_empty = False
                    yield source
                if is_empty:
                    yield NoImage(item.name, "holds no images", Kind.EMPTY)
            except ShardError as error:
                why = error.reason if error.name else f"cannot be read: {error.reason.rstrip('.')}"
                yield NoImage(item.name, why, error.kind)


def read_ahead(shard: Shard) -> Generator[ImageSource, None, None]:
    """Yield a shard's images, while a thread reads up to 64 MiB ahead. Raises ``ShardError``."""
    room, coming = Room(AHEAD_BYTES), queue.SimpleQueue[ImageSource | Exception | None]()

    def fill() -> None:
        end = None
        try:
            with as_shard_error(shard.name):
                stamp = stamp_of(shard)
                for source in shard.entries():
                    if isinstance(source, ShardImage):
                        source.shard_stamp = stamp
                    if not room.take(_size(source)):
                        break
                    coming.put(source)
        except ShardError as error:
            end = error
        coming.put(end)

    threading.Thread(target=fill, daemon=True, name="clipiqa-read").start()
    try:
        while True:
            source = coming.get()
            if isinstance(source, Exception):
                raise source
            if source is None:
                return
            room.give(_size(source))
            yield source
    finally:
        room.close()


def _size(source: ImageSource) -> int:
    return max(_LEAST, getattr(source, "size", 0))
