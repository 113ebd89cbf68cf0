"""Images that threads read ahead, and batches of images of equal size."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import ImageError, Kind, is_out_of_memory
from .memory import Room, Share, memory_limit, use_share

BATCH_PIXELS = 8 * 1024 * 1024  # limit of a batch; a larger image is a batch alone
WAITING_PIXELS = 64 * 1024 * 1024  # limit of decoded images that wait for images of equal size: 192 MiB
WAIT = 8  # an image waits for its batch to fill until this number of batches has been read


class Shaped(Protocol):
    """A decoded image ``(3, H, W)``, as tensor or ``ImageRecord``."""

    @property
    def shape(self) -> Sequence[int]: ...


Item = TypeVar("Item")
Decoded = TypeVar("Decoded", bound=Shaped)
Result = TypeVar("Result")


def default_workers() -> int:
    """Return the default number: one thread per core, at most eight."""
    return min(8, os.cpu_count() or 1)


def prefetch(
    read: Callable[[Item], Decoded],
    items: Iterable[Item],
    workers: int | None = None,
    ahead: int | None = None,
    scoring: int = 0,
) -> Generator[tuple[Item, Decoded | ImageError], None, None]:
    """Yield each item, in order, with its decoded image or with the ``ImageError`` of reading.

    Args:
        read: Returns an item's decoded image; runs in a thread.
        items: Items to read; a generator is closed at the end.
        workers: Number of threads; default :func:`default_workers`.
        ahead: Largest number of items to read ahead; default two per thread.
        scoring: Bytes that scoring takes per pixel.
    """
    workers = workers or default_workers()
    most = 2 * workers if ahead is None else ahead

    def attempt(item: Item, share: Share) -> Decoded | ImageError:
        use_share(share)
        try:
            return read(item)
        except ImageError as error:
            return error

    def handed_out() -> Iterator[tuple[Item, Decoded | ImageError]]:
        item, future, share = coming.popleft()
        share.hurry()
        yield item, future.result()
        share.give_back()

    pool, room = ThreadPoolExecutor(workers, thread_name_prefix="clipiqa-decode"), Room(memory_limit(), scoring)
    coming: deque[tuple[Item, Future[Decoded | ImageError], Share]] = deque()
    try:
        for item in items:
            coming.append((item, pool.submit(attempt, item, share := Share(room)), share))
            if len(coming) > most:
                yield from handed_out()
        while coming:
            yield from handed_out()
    finally:
        room.close()
        pool.shutdown(cancel_futures=True)
        if isinstance(items, Generator):
            items.close()


def in_batches(
    images: Generator[tuple[Item, Decoded | ImageError], None, None],
    work: Callable[[list[Item], list[Decoded]], Iterable[Result]],
    failed: Callable[[Item, Decoded | None, ImageError], Result],
    *,
    batch_size: int = 8,
    apart: Callable[[Item], Hashable] | None = None,
) -> Generator[Result, None, None]:
    """Yield the result of ``work`` for each image, in order.

    If a batch fails with ``ImageError`` or for lack of memory, its images are tried again one by one. After a lack of
    memory, later batches are smaller.

    Args:
        images: Items with decoded images, as from :func:`prefetch`; closed at the end.
        work: Returns a result for each item; the decoded images have equal size.
        failed: Returns the result of a failed item, or raises.
        batch_size: Largest number of images in a batch.
        apart: Returns a key; the items of a batch share their key.
    """
    waiting: dict[tuple[int, ...], list[tuple[int, Item, Decoded]]] = {}  # by shape; the oldest image's shape is first
    ready: dict[int, Result] = {}  # by number of the image
    first, count, most_pixels = 0, 0, BATCH_PIXELS
    last: Hashable = None

    def results(items: list[Item], decoded: list[Decoded]) -> list[Result]:
        nonlocal most_pixels
        try:
            return list(work(items, decoded))
        except ImageError as error:
            problem = ImageError(error.reason, error.kind, error.name)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            most_pixels = min(most_pixels, math.prod(decoded[0].shape[1:]) * len(decoded) // 2)
            problem = ImageError(
                "it does not fit in memory: set max_side or max_pixels, or use another device.",
                Kind.OUT_OF_MEMORY,
            )
        # Outside the except block, since the error keeps the failed call's tensors alive.
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        if len(items) == 1:
            return [failed(items[0], decoded[0], problem)]
        return [each for item, image in zip(items, decoded, strict=True) for each in results([item], [image])]

    def finish(shape: tuple[int, ...]) -> None:
        numbers, items, decoded = zip(*waiting.pop(shape), strict=True)
        ready.update(zip(numbers, results(list(items), list(decoded)), strict=True))

    def leave(everything: bool = False) -> Iterator[Result]:
        """Yield ready results; work on the first image if it has waited long enough."""
        nonlocal first
        while waiting or ready:
            pixels = sum(math.prod(shape[1:]) * len(batch) for shape, batch in waiting.items())
            if first in ready:
                yield ready.pop(first)
                first += 1
            elif everything or count - first > WAIT * batch_size or pixels > WAITING_PIXELS:
                finish(next(iter(waiting)))
            else:
                return

    with closing(images):
        for item, image in images:
            if apart is not None and (key := apart(item)) != last:
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


def stacked(pixels: Sequence[Tensor], device: str | torch.device) -> Tensor:
    """Return images ``(3, H, W)``, uint8 or in [0, 1], as one fp32 batch ``(N, 3, H, W)`` in [0, 1]."""
    if any(image.is_floating_point() for image in pixels):
        pixels = [image if image.is_floating_point() else image.float().div_(255) for image in pixels]
    # (3, H, W) views of (H, W, 3) memory -> (N, 3, H, W) in channels_last, as towers need it
    x = torch.stack([image.permute(1, 2, 0) for image in pixels]).permute(0, 3, 1, 2).to(device)
    return x.float().div_(255) if x.dtype == torch.uint8 else x.float()
