"""Images that threads read ahead, within the limit of memory."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from ...errors import ImageError
from .reading_memory import ImageShare, ReadingMemory, use_share

WORKERS = min(8, os.cpu_count() or 1)  # threads that read ahead, unless the caller says otherwise

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")  # such as an image


@dataclass
class _Ahead(Generic[Item, Loaded]):
    """An item that a thread reads, now or later."""

    item: Item
    share: ImageShare
    future: Future[Loaded | ImageError]


def prefetch(
    read: Callable[[Item], Loaded],
    items: Iterable[Item],
    workers: int | None = None,
    bytes_per_pixel: int = 0,
    at_once: int = 1,
) -> Generator[tuple[Item, Loaded | ImageError], None, None]:
    """Yield each item, in order, with its decoded image or with the ``ImageError`` of reading.

    Args:
        read: Returns an item's decoded image; runs in a thread.
        workers: Threads, default ``WORKERS``; up to two items for each, and two more, are read ahead.
        bytes_per_pixel, at_once: Memory that the receiver takes for each pixel, and the number of images that it
            works on at once. This memory is left free.
    """
    workers = workers or WORKERS
    most_ahead = 2 * workers + 2
    memory = ReadingMemory(bytes_per_pixel, at_once)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="clipiqa-decode")
    readings = deque[_Ahead[Item, Loaded]]()
    try:
        for item in items:
            share = ImageShare(memory)
            future = pool.submit(_loaded_or_error, read, item, share)
            readings.append(_Ahead(item, share, future))
            if len(readings) > most_ahead:
                yield from _handed_out(readings.popleft())
        while readings:
            yield from _handed_out(readings.popleft())
    finally:
        memory.budget.close()
        pool.shutdown(cancel_futures=True)
        if isinstance(items, Generator):
            items.close()


def _loaded_or_error(read: Callable[[Item], Loaded], item: Item, share: ImageShare) -> Loaded | ImageError:
    use_share(share)
    try:
        return read(item)
    except ImageError as error:
        return error


def _handed_out(reading: _Ahead[Item, Loaded]) -> Generator[tuple[Item, Loaded | ImageError], None, None]:
    """Yield the item with what was read; its memory is free again once the receiver asks for the next item."""
    if not reading.future.done():
        reading.share.hurry()
    yield reading.item, reading.future.result()
    reading.share.give_back()
