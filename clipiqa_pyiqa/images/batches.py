"""Images that threads read ahead, and batches of images of equal size."""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError, Kind, is_out_of_memory
from .memory import Room, Share, memory_limit, use_share

BATCH_PIXELS = 8 * 1024 * 1024  # limit of a batch; a larger image is a batch alone, and alone takes all threads
WAITING_PIXELS = 64 * 1024 * 1024  # limit of decoded images that wait for images of equal size: 192 MiB
WORKERS = min(8, os.cpu_count() or 1)  # threads that read ahead, unless the caller says otherwise
WAIT = 8  # an image waits for its batch to fill until this number of batches has been read


Item = TypeVar("Item")
Decoded = TypeVar("Decoded")  # such as an image
Result = TypeVar("Result")
Batch = list[tuple[int, Any, Any]]  # numbers, items and decoded images


def images_at_once(device: torch.device, count: int | None) -> int:
    """Return how many images are scored at once, each on a thread: on a CPU the number of torch's threads.

    ``count``: the run's number of images, None if unknown. The result is 1 on other devices, where images share
    batches, and for fewer images than threads.
    """
    threads = torch.get_num_threads()
    return threads if device.type == "cpu" and (count is None or count >= threads) else 1


def prefetch(
    read: Callable[[Item], Decoded],
    items: Iterable[Item],
    workers: int | None = None,
    scoring: int = 0,
    at_once: int = 1,
) -> Generator[tuple[Item, Decoded | ImageError], None, None]:
    """Yield each item, in order, with its decoded image or with the ``ImageError`` of reading.

    Args:
        read: Returns an item's decoded image; runs in a thread.
        workers: Threads, default ``WORKERS``; up to two items for each, and two more, are read ahead.
    """
    workers = workers or WORKERS

    def attempt(item: Item, share: Share) -> Decoded | ImageError:
        use_share(share)
        try:
            return read(item)
        except ImageError as error:
            return error

    def handed_out() -> Iterator[tuple[Item, Decoded | ImageError]]:
        item, future, share = coming.popleft()
        if not future.done():
            share.hurry()
        yield item, future.result()
        share.give_back()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="clipiqa-decode")
    room = Room(memory_limit(), scoring, at_once)
    coming = deque[tuple[Item, Future[Decoded | ImageError], Share]]()
    try:
        for item in items:
            coming.append((item, pool.submit(attempt, item, share := Share(room)), share))
            if len(coming) > 2 * workers + 2:
                yield from handed_out()
        while coming:
            yield from handed_out()
    finally:
        room.close()
        pool.shutdown(cancel_futures=True)
        if isinstance(items, Generator):
            items.close()


def processed(
    images: Iterable[Item],
    load: Callable[[Item], Decoded],
    work: Callable[[list[Any], list[Any]], Iterable[Result]],
    failed: Callable[[Any, Any, ImageError], Result],
    *,
    workers: int | None = None,
    batch_size: int = 8,
    at_once: int = 1,
    scoring: int = 0,
    block_of: Callable[[Item], Hashable] = lambda item: None,
    parts: Callable[[Item, Decoded | ImageError], Iterable[tuple[Any, Tensor]]] | None = None,
) -> Generator[Result, None, None]:
    """Yield the result of ``work`` for each image, in order.

    Images of a failed batch are tried again one by one. After a lack of memory, batches are smaller.

    Args:
        images, load, workers: As ``items``, ``read`` and ``workers`` of :func:`prefetch`.
        work: Returns a result for each item; takes items, and decoded images of equal size.
        failed: Returns the result of a failed item, or raises; also takes the decoded image, if there is one.
        at_once: Number of batches at once, each in a thread with one thread of torch. With 1, and for images above
            ``BATCH_PIXELS``, the calling thread works.
        block_of: Returns a key, which the items of a batch share.
        parts: Returns items and pixels to work on instead of an item and its image.
    """
    waiting: dict[tuple[int, ...], Batch] = {}  # by shape; the oldest image's shape is first
    ready: dict[int, Result] = {}  # by number of the image
    running = dict[Future[list[Result | ImageError]], Batch]()
    first, count, most_pixels, most_bytes = 0, 0, BATCH_PIXELS, memory_limit() // 2
    last: Hashable = None

    def pixels_of(*batches: Batch) -> int:
        return sum(math.prod(image.shape[1:]) for batch in batches for *_, image in batch)

    def attempt(batch: Batch) -> list[Result | ImageError]:
        nonlocal most_pixels
        try:
            return list(work([item for _, item, _ in batch], [image for *_, image in batch]))
        except ImageError as error:
            problem = ImageError(error.reason, error.kind, error.name)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            most_pixels = min(most_pixels, pixels_of(batch) // 2)
            problem = ImageError(
                "it does not fit in memory: set max_side or max_pixels, or use another device.",
                Kind.OUT_OF_MEMORY,
            )
        # Outside the except block, since the error keeps the failed call's tensors alive.
        torch.cuda.empty_cache()
        if len(batch) == 1:
            return [problem]
        return [result for each in batch for result in attempt([each])]

    def finish(shape: tuple[int, ...]) -> None:
        batch = waiting.pop(shape)
        if pool is None or math.prod(shape[1:]) > BATCH_PIXELS:
            while running:
                collect()
            keep(batch, attempt(batch))
            return
        while len(running) > at_once or (running and most_bytes < scoring * pixels_of(*running.values(), batch)):
            collect()
        running[pool.submit(copy_context().run, attempt, batch)] = batch

    def collect() -> None:
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            keep(running.pop(future), future.result())

    def keep(batch: Batch, found: list[Result | ImageError]) -> None:
        for (number, item, image), result in zip(batch, found, strict=True):
            ready[number] = failed(item, image, result) if isinstance(result, ImageError) else result

    def leave(everything: bool = False) -> Iterator[Result]:
        nonlocal first
        while waiting or ready or running:
            if first in ready:
                yield ready.pop(first)
                first += 1
            elif waiting and (
                everything or count - first > WAIT * batch_size or pixels_of(*waiting.values()) > WAITING_PIXELS
            ):
                finish(next(iter(waiting)))
            elif everything or len(ready) > WAIT * batch_size * at_once:
                collect()
            else:
                return

    coming = prefetch(load, images, workers, scoring, at_once)
    pairs: Iterable[Any] = coming if parts is None else (part for each in coming for part in parts(*each))
    with closing(coming), _threads(at_once) as pool:
        for item, image in pairs:
            if batch_size > 1 and (key := block_of(item)) != last:
                yield from leave(everything=True)
                last = key
            if isinstance(image, ImageError):
                ready[count] = failed(item, None, image)
            else:
                shape = tuple(image.shape)
                batch = waiting.setdefault(shape, [])
                batch.append((count, item, image))
                if len(batch) >= max(1, min(batch_size, most_pixels // math.prod(shape[1:]))):
                    finish(shape)
            count += 1
            yield from leave()
        yield from leave(everything=True)


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor | None]:
    if count == 1:
        yield None
        return
    default, started = torch.get_num_threads(), threading.Barrier(count + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread takes the default when it first asks, whatever it has set before
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="clipiqa-score")
    try:
        for _ in range(count):
            pool.submit(start)
        started.wait()
        torch.set_num_threads(default)  # what a thread sets is the default of later threads too
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def stacked(pixels: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return images ``(3, H, W)``, uint8 or in [0, 1], as one fp32 batch ``(N, 3, H, W)`` in [0, 1]."""
    if len(pixels) == 1 and device.type == "cpu" and pixels[0].dtype == torch.uint8:  # NumPy's memory has huge pages
        only = pixels[0].permute(1, 2, 0).numpy()[None].astype(np.float32)
        only /= 255
        return torch.from_numpy(only).permute(0, 3, 1, 2)
    if any(image.is_floating_point() for image in pixels):
        pixels = [image if image.is_floating_point() else image.float().div_(255) for image in pixels]
    # (3, H, W) views of (H, W, 3) memory -> (N, 3, H, W) in channels_last, as towers need it
    x = torch.stack([image.permute(1, 2, 0) for image in pixels]).permute(0, 3, 1, 2).to(device)
    return x.float().div_(255) if x.dtype == torch.uint8 else x.float()
