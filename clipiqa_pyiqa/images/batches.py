"""The one path from images to results: read ahead by threads, grouped by size, worked on in bounded batches, in order.

Whatever works on many images is :func:`in_batches` around :func:`prefetch`. Threads read ahead while the caller's work
runs (PIL lets go of Python's lock while it decodes, and threads hand over pixels without copying them, which processes
cannot). Images of equal size wait for each other until their batch is full, the oldest has waited for ``WAIT`` batches
of others, or too many pixels wait. Results leave in the order in which the images came.
"""

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

BATCH_PIXELS = 8 * 1024 * 1024  # in one batch, unless a single image has more
WAITING_PIXELS = 64 * 1024 * 1024  # decoded and waiting for others of their size: 192 MiB
WAIT = 8  # batches of other sizes that an image waits for its own to fill up


class Shaped(Protocol):
    """A picture with its shape ``(3, H, W)``: a tensor of pixels or an ``ImageRecord``."""

    @property
    def shape(self) -> Sequence[int]: ...


Item = TypeVar("Item")
Picture = TypeVar("Picture", bound=Shaped)
Result = TypeVar("Result")


def default_workers() -> int:
    """Reading threads that keep a metric busy: one per core, up to eight."""
    return min(8, os.cpu_count() or 1)


def prefetch(
    read: Callable[[Item], Picture],
    items: Iterable[Item],
    workers: int | None = None,
    ahead: int | None = None,
    scoring: int = 0,
    enlarged: bool = False,
) -> Generator[tuple[Item, Picture | ImageError], None, None]:
    """Items in their order, each with its picture or the ``ImageError`` that says why there is none, read by threads.

    Args:
        read: Item -> picture; what it raises besides ``ImageError`` is raised in its item's turn, and ends the reading.
        items: Taken no further ahead than asked; a generator is closed at the end.
        workers: Threads; None is one per core, up to eight.
        ahead: Items that may be under way or waiting beyond the one that is handed out; default two per thread.
        scoring: Bytes that scoring will take for each pixel of a picture: with decoding, they are bounded by
            :func:`~clipiqa_pyiqa.images.memory.memory_limit`.
        enlarged: Whether pictures are enlarged before they are scored, which ``scoring`` then accounts for.
    """
    workers = workers or default_workers()
    most = 2 * workers if ahead is None else ahead

    def attempt(item: Item, ticket: Ticket) -> tuple[Item, Picture | ImageError]:
        try:
            with ticket:
                picture = read(item)
                if ticket.size:
                    ticket.keep(math.prod(picture.shape))
            return item, picture
        except ImageError as error:
            return item, error
        except MemoryError:
            return item, ImageError("it does not fit in memory: shrink it with max_side or max_pixels.")

    pool, budget = ThreadPoolExecutor(workers, thread_name_prefix="clipiqa-decode"), Budget(scoring, enlarged)
    coming: deque[tuple[Future[tuple[Item, Picture | ImageError]], Ticket]] = deque()
    try:
        for item in items:
            coming.append((pool.submit(attempt, item, ticket := Ticket(budget)), ticket))
            if len(coming) > most:
                yield from _handed_out(*coming.popleft())
        while coming:
            yield from _handed_out(*coming.popleft())
    finally:
        budget.close()
        pool.shutdown(cancel_futures=True)
        if isinstance(items, Generator):
            items.close()


def _handed_out(future: Future[Result], ticket: Ticket) -> Iterator[Result]:
    """What was read, whose memory is the receiver's as soon as he asks for more."""
    yield future.result()
    ticket.keep(0)


def in_batches(
    images: Generator[tuple[Item, Picture | ImageError], None, None],
    work: Callable[[list[Item], list[Picture]], Iterable[Result]],
    failed: Callable[[Item, Picture | None, ImageError], Result],
    *,
    batch_size: int = 8,
    apart: Callable[[Item], Hashable] | None = None,
) -> Generator[Result, None, None]:
    """Results of work on images, in the order of the images.

    A batch that ``work`` refuses with an ``ImageError``, or that does not fit in memory, is tried again one by one, in
    the latter case with smaller batches from then on.

    Args:
        images: Items with pictures or errors, as :func:`prefetch` makes them; closed at the end.
        work: Items and their pictures of equal size -> one result for each, in their order.
        failed: Item, its picture if there is one, and why there is no result -> what stands for it; may raise.
        batch_size: Images of equal size that are worked on at once, at most.
        apart: Item -> key; a batch holds neighbours of equal key only. None lets all share batches.
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
    """A batch ``(N, 3, H, W)`` in [0, 1], fp32 on that device, of N uint8 pictures ``(3, H, W)`` of equal size."""
    # (3, H, W) views of (H, W, 3) memory -> (N, 3, H, W) in channels_last, which the encoders work in
    x = torch.stack([picture.permute(1, 2, 0) for picture in pixels]).permute(0, 3, 1, 2)
    return x.to(device).float().div_(255)


@dataclass
class _Place(Generic[Item, Picture, Result]):
    """A place in the queue: a picture until it is worked on, then a result."""

    item: Item
    picture: Picture | None = None
    result: tuple[Result] | None = None


class _Queue(Generic[Item, Picture, Result]):
    """Images in the order given: the front leaves as results, while images behind it wait for others of their size."""

    def __init__(
        self,
        work: Callable[[list[Item], list[Picture]], Iterable[Result]],
        failed: Callable[[Item, Picture | None, ImageError], Result],
        batch_size: int,
    ) -> None:
        self._work, self._failed, self._batch_size = work, failed, batch_size
        self._batch_pixels = BATCH_PIXELS
        self._places: deque[_Place[Item, Picture, Result]] = deque()
        self._waiting: dict[tuple[int, ...], list[_Place[Item, Picture, Result]]] = {}  # by shape
        self._pixels = 0  # in them

    def append(self, item: Item, image: Picture | ImageError) -> None:
        if isinstance(image, ImageError):
            self._places.append(_Place(item, None, (self._failed(item, None, image),)))
            return
        place: _Place[Item, Picture, Result] = _Place(item, image)
        shape = tuple(image.shape)
        self._places.append(place)
        self._waiting.setdefault(shape, []).append(place)
        self._pixels += math.prod(shape[1:])
        if len(self._waiting[shape]) >= max(1, min(self._batch_size, self._batch_pixels // math.prod(shape[1:]))):
            self._finish(shape)

    def leave(self, everything: bool = False) -> Iterator[Result]:
        """The results that are ready; the front image is worked on when it has waited long enough."""
        while self._places:
            first = self._places[0]
            if first.result is not None:
                self._places.popleft()
                yield first.result[0]
            elif everything or len(self._places) > WAIT * self._batch_size or self._pixels > WAITING_PIXELS:
                assert first.picture is not None
                self._finish(tuple(first.picture.shape))
            else:
                return

    def _finish(self, shape: tuple[int, ...]) -> None:
        places = self._waiting.pop(shape)
        self._pixels -= math.prod(shape[1:]) * len(places)
        pictures = [place.picture for place in places if place.picture is not None]
        for place, result in zip(places, self._results([place.item for place in places], pictures), strict=True):
            place.picture, place.result = None, (result,)

    def _results(self, items: list[Item], pictures: list[Picture]) -> list[Result]:
        """One result for each, in their order."""
        try:
            return list(self._work(items, pictures))
        except ImageError as error:
            problem = ImageError(error.reason, error.kind, error.name)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._batch_pixels = min(self._batch_pixels, math.prod(pictures[0].shape[1:]) * len(pictures) // 2)
            problem = ImageError(
                "it does not fit in memory: shrink it with max_side or max_pixels, or score on another device.",
                Kind.OUT_OF_MEMORY,
            )
        # Out of the except block, whose error keeps the failed call's tensors alive.
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        if len(items) == 1:
            return [self._failed(items[0], pictures[0], problem)]
        return [
            result for item, picture in zip(items, pictures, strict=True) for result in self._results([item], [picture])
        ]
