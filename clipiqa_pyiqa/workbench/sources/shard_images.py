"""Images of sources in order, those of shards read ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator

from ...errors import Kind
from ..images.byte_budget import ByteBudget
from ..images.image import Image, MemberImage, NoImage
from ..images.stamp import UNKNOWN, Stamp
from .found_sources import Source
from .shard_error import ShardError
from .shards import Shard
from .stores import as_shard_error

AHEAD_BYTES = 64 << 20
_LEAST = 16 << 10  # a smaller image counts as this many bytes, which limits the number of small images


def images_in(sources: Iterable[Source]) -> Iterator[Image]:
    """Yield the images, also those in shards."""
    for source in sources:
        if isinstance(source, Shard):
            yield from images_of_shard(source)
        else:
            yield source


def images_of_shard(shard: Shard) -> Iterator[Image]:
    """Yield a shard's images, with its stamp; a ``NoImage`` stands for a shard that is empty or cannot be read."""
    stamp = UNKNOWN
    count = 0
    try:
        with as_shard_error(shard.name):
            stamp = shard.stamp()  # before reading, so that a change in between is noticed
        for image in read_ahead(shard):
            yield _stamped(image, stamp)
            count += 1
        if not count:
            yield _stamped(NoImage(shard.name, "holds no images", Kind.EMPTY), stamp)
    except ShardError as error:
        yield _stamped(NoImage(shard.name, error.reason, error.kind), stamp)


def _stamped(image: Image, stamp: Stamp) -> Image:
    """Return an image with the stamp of its shard; files that a shard lists have stamps of their own."""
    if isinstance(image, MemberImage):
        image.shard_stamp = stamp
    return image


def read_ahead(shard: Shard) -> Generator[Image, None, None]:
    """Yield a shard's images, while a thread reads up to 64 MiB ahead. Raises ``ShardError``."""
    budget = ByteBudget(AHEAD_BYTES)
    coming = queue.SimpleQueue[Image | Exception | None]()

    def fill() -> None:
        end = None
        try:
            with as_shard_error(shard.name):
                for image in shard.entries():
                    if not budget.take(_size(image)):
                        break
                    coming.put(image)
        except ShardError as error:
            end = error
        coming.put(end)

    thread = threading.Thread(target=fill, daemon=True, name="clipiqa-read")
    thread.start()
    try:
        while True:
            image = coming.get()
            if isinstance(image, Exception):
                raise image
            if image is None:
                return
            budget.give_back(_size(image))
            yield image
    finally:
        budget.close()
        thread.join(1)  # Arrow aborts the process if Python ends in the middle of its call


def _size(image: Image) -> int:
    return max(_LEAST, getattr(image, "size", 0) or len(getattr(image, "data", b"")))
