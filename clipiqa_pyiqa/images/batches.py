"""Images that threads read ahead, and batches of images of equal size."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import ImageError, Kind, is_out_of_memory
from .memory import Budget, Ticket

BATCH_PIXELS = 8 * 1024 * 1024  # limit of a batch; a larger image is a batch alone
WAITING_PIXELS = 64 * 1024 * 1024  # limit of decoded images that wait for images of equal size: 192 MiB
WAIT = 8  # an image waits for its batch to fill until this number of batches has been read


class Shaped(Protocol):
    """A picture ``(3, H, W)``, as tensor or ``ImageRecord``."""

    @property
    def shape(self) -> Sequence[int]: ...


Item = TypeVar("Item")
Picture = TypeVar("Picture", bound=Shaped)
Result = TypeVar("Result")


def default_workers() -> int:
    """Return the default number: one thread per core, at most eight."""
    return min(8, os.cpu_count() or 1)


def prefetch(
    read: Callable[[Item], Picture],
    items: Iterable[Item],
    workers: int | None = None,
    ahead: int | None = None,
    scoring: int = 0,
) -> Generator[tuple[Item, Picture | ImageError], None, None]:
    """Yield each item, in order, with its picture or the ``ImageError`` of reading.

    Args:
        read: Returns an item's picture; runs in a thread.
        items: Taken as needed; a generator is closed at the end.
        ahead: Most items to read ahead; default two per thread.
        scoring: Bytes that scoring takes per pixel.
    """
    workers = workers or default_workers()
    most = 2 * workers if ahead is None else ahead

    def attempt(item: Item, ticket: Ticket) -> tuple[Item, Picture | ImageError]:
        try:
            with ticket:
                return item, read(item)
        except ImageError as error:
            return item, error
        except MemoryError:
            return item, ImageError("it does not fit in memory: set max_side or max_pixels.")

    pool, budget = ThreadPoolExecutor(workers, thread_name_prefix="clipiqa-decode"), Budget(scoring)
    coming: deque[tuple[Future[tuple[Item, Picture | ImageError]], Ticket]] = deque()
    try:
        for item in items:
            coming.append((pool.submit(attempt, item, ticket := Ticket(budget)), ticket))
            if len(coming) > most:
                yield from _hand_out(*coming.popleft())
        while coming:
            yield from _hand_out(*coming.popleft())
    finally:
        budget.close()
        pool.shutdown(cancel_futures=True)
        if isinstance(items, Generator):
            items.close()


def _hand_out(future: Future[Result], ticket: Ticket) -> Iterator[Result]:
    yield future.result()
    ticket.give_back()


def in_batches(
    images: Generator[tuple[Item, Picture | ImageError], None, None],
    work: Callable[[list[Item], list[Picture]], Iterable[Result]],
    failed: Callable[[Item, Picture | None, ImageError], Result],
    *,
    batch_size: int = 8,
    apart: Callable[[Item], Hashable] | None = None,
) -> Generator[Result, None, None]:
    """Yield the result of ``work`` for each image, in order.

    If a batch fails with ``ImageError`` or for lack of memory, its images are tried again one by one. After a lack of
    memory, later batches are smaller.

    Args:
        images: As from :func:`prefetch`; closed at the end.
        work: Returns a result for each item; the pictures have equal size.
        failed: Returns the result of a failed item, or raises.
        apart: Returns a key; the items of a batch share their key.
    """
    queue = _Queue(work, failed, batch_size)
    last: Hashable = None
    with closing(images):
        for item, image in images:
            if apart is not None and (key := apart(item)) != last:
                yield from queue.leave(everything=True)
                last = key
            queue.append(item, image)
            yield from queue.leave()
        yield from queue.leave(everything=True)


def stacked(pixels: Sequence[Tensor], device: str | torch.device) -> Tensor:
    """Return uint8 pictures ``(3, H, W)`` as one fp32 batch ``(N, 3, H, W)`` in [0, 1]."""
    # (3, H, W) views of (H, W, 3) memory -> (N, 3, H, W) in channels_last, as encoders need it
    x = torch.stack([picture.permute(1, 2, 0) for picture in pixels]).permute(0, 3, 1, 2)
    return x.to(device).float().div_(255)


@dataclass
class _Place(Generic[Result]):
    shape: tuple[int, ...] = ()
    result: tuple[Result] | None = None


class _Queue(Generic[Item, Picture, Result]):
    """Images that wait until a batch is full, ``WAIT`` batches have passed, or too many pixels wait."""

    def __init__(
        self,
        work: Callable[[list[Item], list[Picture]], Iterable[Result]],
        failed: Callable[[Item, Picture | None, ImageError], Result],
        batch_size: int,
    ) -> None:
        self._work, self._failed, self._batch_size = work, failed, batch_size
        self._batch_pixels = BATCH_PIXELS
        self._places: deque[_Place[Result]] = deque()
        self._waiting: dict[tuple[int, ...], list[tuple[_Place[Result], Item, Picture]]] = {}  # by shape
        self._pixels = 0  # of all waiting images

    def append(self, item: Item, image: Picture | ImageError) -> None:
        if isinstance(image, ImageError):
            self._places.append(_Place(result=(self._failed(item, None, image),)))
            return
        shape = tuple(image.shape)
        pixels = math.prod(shape[1:])
        self._places.append(_Place(shape))
        batch = self._waiting.setdefault(shape, [])
        batch.append((self._places[-1], item, image))
        self._pixels += pixels
        if len(batch) >= max(1, min(self._batch_size, self._batch_pixels // pixels)):
            self._finish(shape)

    def leave(self, everything: bool = False) -> Iterator[Result]:
        """Yield ready results; work on the first image if it has waited long enough."""
        while self._places:
            first = self._places[0]
            if first.result is not None:
                self._places.popleft()
                yield first.result[0]
            elif everything or len(self._places) > WAIT * self._batch_size or self._pixels > WAITING_PIXELS:
                self._finish(first.shape)
            else:
                return

    def _finish(self, shape: tuple[int, ...]) -> None:
        places, items, pictures = zip(*self._waiting.pop(shape), strict=True)
        self._pixels -= math.prod(shape[1:]) * len(places)
        for place, result in zip(places, self._results(list(items), list(pictures)), strict=True):
            place.result = (result,)

    def _results(self, items: list[Item], pictures: list[Picture]) -> list[Result]:
        try:
            return list(self._work(items, pictures))
        except ImageError as error:
            problem = ImageError(error.reason, error.kind, error.name)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._batch_pixels = min(self._batch_pixels, math.prod(pictures[0].shape[1:]) * len(pictures) // 2)
            problem = ImageError(
                "it does not fit in memory: set max_side or max_pixels, or use another device.",
                Kind.OUT_OF_MEMORY,
            )
        # Outside the except block, since the error keeps the failed call's tensors alive.
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        if len(items) == 1:
            return [self._failed(items[0], pictures[0], problem)]
        return [
            result for item, picture in zip(items, pictures, strict=True) for result in self._results([item], [picture])
        ]
