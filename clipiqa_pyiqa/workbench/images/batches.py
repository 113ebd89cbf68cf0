"""A loop that works on batches of images of equal size, and returns results in order."""

import math
from collections.abc import Generator, Hashable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch

from ...errors import ImageError, Kind
from .lack_of_memory import TOO_LARGE, is_out_of_memory
from .memory_limit import memory_limit
from .prefetch import prefetch
from .threads import one_thread_each

BATCH_PIXELS = 8 * 1024 * 1024  # limit of a batch; a larger image is a batch alone, and alone takes all threads
WAITING_PIXELS = 64 * 1024 * 1024  # limit of decoded images that wait for images of equal size: 192 MiB
WAIT = 8  # an image waits for its batch to fill until this number of batches has been read


class Shaped(Protocol):
    """An image ``(3, H, W)``: a tensor, or an object that holds one."""

    @property
    def shape(self) -> torch.Size: ...


Item = TypeVar("Item")  # such as a file
Loaded = TypeVar("Loaded", bound=Shaped)  # such as a decoded image
Result = TypeVar("Result", covariant=True)


class BatchWork(Protocol[Item, Loaded, Result]):
    """What a :class:`BatchLoop` does with its items; a subclass defines the first three methods."""

    def load(self, item: Item, /) -> Loaded:
        """Return an item's decoded image, or raise ``ImageError``; runs in a thread that reads ahead."""

    def run(self, items: list[Item], images: list[Loaded], /) -> Iterable[Result]:
        """Return a result for each item; the images have equal size. Raises ``ImageError`` if one of them fails."""

    def failed(self, item: Item, image: Loaded | None, error: ImageError, /) -> Result:
        """Return the result of an item that failed, or raise; ``image`` is None if it could not be loaded."""

    def block_of(self, item: Item, /) -> Hashable:
        """Return a key, which the items of a batch share; items of a block are neighbours."""
        return None

    def views(self, item: Item, image: Loaded, /) -> Iterable[tuple[Item, Loaded]]:
        """Yield the items and images to work on instead of an item and its image."""
        yield item, image


@dataclass(frozen=True)
class Limits:
    """How much a :class:`BatchLoop` does at once.

    Attributes:
        batch_size: Largest number of images in a batch.
        at_once: Number of batches at once, each in a thread with one thread of torch. With 1, and for images above
            ``BATCH_PIXELS``, the calling thread works.
        bytes_per_pixel: Memory that the work takes for each pixel of an image.
        workers: As for :func:`prefetch`.
    """

    batch_size: int = 8
    at_once: int = 1
    bytes_per_pixel: int = 0
    workers: int | None = None


@dataclass
class _Batch(Generic[Item, Loaded, Result]):
    """Images of one shape, with their numbers in the run; and after the work, a result or an error for each."""

    shape: tuple[int, ...]
    numbers: list[int] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    images: list[Loaded] = field(default_factory=list)
    outcomes: list[Result | ImageError] = field(default_factory=list)

    def add(self, number: int, item: Item, image: Loaded) -> None:
        self.numbers.append(number)
        self.items.append(item)
        self.images.append(image)

    @property
    def pixels_of_one(self) -> int:
        return math.prod(self.shape[1:])

    @property
    def pixels(self) -> int:
        return len(self.images) * self.pixels_of_one

    def singles(self) -> "Iterator[_Batch[Item, Loaded, Result]]":
        """Yield batches of one image each."""
        for number, item, image in zip(self.numbers, self.items, self.images, strict=True):
            yield _Batch(self.shape, [number], [item], [image])


class BatchLoop(Generic[Item, Loaded, Result]):
    """A loop that works on batches of images of equal size; it can be used once.

    ::

        item ── loaded ahead ──▶ waiting ── the batch is full or overdue ──▶ running ──▶ ready ── its turn ──▶ result
          │                                                                                ▲
          └── cannot be loaded ────────────────────────────────────────────────────────────┘

    Images of a failed batch are tried again one by one. After a lack of memory, batches are smaller.
    """

    def __init__(self, work: BatchWork[Item, Loaded, Result], limits: Limits) -> None:
        self._work = work
        self._limits = limits
        self._pool: ThreadPoolExecutor | None = None
        self._most_pixels = BATCH_PIXELS  # in a batch
        self._most_bytes = memory_limit() // 2  # for the work on all batches that run
        self._added = 0  # number of images so far
        self._next = 0  # number of the image whose result comes next
        self._waiting = dict[tuple[int, ...], _Batch[Item, Loaded, Result]]()  # by shape; the oldest batch is first
        self._running = dict[Future[None], _Batch[Item, Loaded, Result]]()
        self._ready = dict[int, Result]()  # by number of the image

    def results(self, items: Iterable[Item]) -> Generator[Result, None, None]:
        """Yield the result of each item, in order."""
        limits = self._limits
        block: Hashable = None
        loaded = prefetch(self._work.load, items, limits.workers, limits.bytes_per_pixel, limits.at_once)
        with closing(loaded), one_thread_each(limits.at_once) as self._pool:
            for item, image in self._views(loaded):
                if limits.batch_size > 1 and self._work.block_of(item) != block:
                    block = self._work.block_of(item)
                    yield from self._all_results()
                self._add(item, image)
                yield from self._results_so_far()
            yield from self._all_results()

    def _views(self, loaded: Iterable[tuple[Item, Loaded | ImageError]]) -> Iterator[tuple[Item, Loaded | ImageError]]:
        for item, image in loaded:
            if isinstance(image, ImageError):
                yield item, image
            else:
                yield from self._work.views(item, image)

    def _add(self, item: Item, image: Loaded | ImageError) -> None:
        """Let an image wait for its batch, which starts if it is full; the error of loading is a result at once."""
        number = self._added
        self._added += 1
        if isinstance(image, ImageError):
            self._ready[number] = self._work.failed(item, None, image)
            return
        shape = tuple(image.shape)
        batch = self._waiting.setdefault(shape, _Batch(shape))
        batch.add(number, item, image)
        most_images = min(self._limits.batch_size, self._most_pixels // batch.pixels_of_one)
        if len(batch.images) >= most_images:
            self._start(batch)

    def _results_so_far(self) -> Iterator[Result]:
        """Yield the results whose turn it is, and start or end the batches that have held them up for too long."""
        yield from self._results_in_turn()
        while True:
            if self._is_overdue():
                self._start_oldest()
            elif self._is_crowded():
                self._end_first()
            else:
                return
            yield from self._results_in_turn()

    def _all_results(self) -> Iterator[Result]:
        """Yield the results of all images that were added."""
        yield from self._results_in_turn()
        while self._waiting or self._running:
            if self._waiting:
                self._start_oldest()
            else:
                self._end_first()
            yield from self._results_in_turn()

    def _results_in_turn(self) -> Iterator[Result]:
        while self._next in self._ready:
            yield self._ready.pop(self._next)
            self._next += 1

    def _is_overdue(self) -> bool:
        """Return whether the oldest waiting batch must start as it is."""
        if not self._waiting:
            return False
        waiting_pixels = sum(batch.pixels for batch in self._waiting.values())
        return self._added - self._next > WAIT * self._limits.batch_size or waiting_pixels > WAITING_PIXELS

    def _is_crowded(self) -> bool:
        """Return whether too many results wait for a batch that runs."""
        return len(self._ready) > WAIT * self._limits.batch_size * self._limits.at_once

    def _start_oldest(self) -> None:
        self._start(next(iter(self._waiting.values())))

    def _start(self, batch: _Batch[Item, Loaded, Result]) -> None:
        """Work on a waiting batch, on a thread of the pool if there are several."""
        del self._waiting[batch.shape]
        if self._pool is None or batch.pixels_of_one > BATCH_PIXELS:
            while self._running:
                self._end_first()
            self._work_on(batch)
            self._keep_outcomes(batch)
            return
        while self._running and not self._fits_beside_running(batch):
            self._end_first()
        future = self._pool.submit(copy_context().run, self._work_on, batch)
        self._running[future] = batch

    def _fits_beside_running(self, batch: _Batch[Item, Loaded, Result]) -> bool:
        pixels = batch.pixels + sum(other.pixels for other in self._running.values())
        has_thread = len(self._running) <= self._limits.at_once  # one more waits for a thread, so that none is idle
        return has_thread and self._limits.bytes_per_pixel * pixels <= self._most_bytes

    def _end_first(self) -> None:
        """Wait until a running batch ends, and keep the outcomes of all that have ended."""
        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
            batch = self._running.pop(future)
            future.result()  # raises what the thread raised
            self._keep_outcomes(batch)

    def _keep_outcomes(self, batch: _Batch[Item, Loaded, Result]) -> None:
        outcomes = zip(batch.numbers, batch.items, batch.images, batch.outcomes, strict=True)
        for number, item, image, outcome in outcomes:
            if isinstance(outcome, ImageError):
                self._ready[number] = self._work.failed(item, image, outcome)
            else:
                self._ready[number] = outcome

    def _work_on(self, batch: _Batch[Item, Loaded, Result]) -> None:
        """Set the outcomes of a batch; if it fails as a whole, its images are tried one by one."""
        try:
            batch.outcomes = list(self._work.run(batch.items, batch.images))
            return
        except ImageError as error:
            problem = ImageError(error.reason, error.kind, error.name)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._most_pixels = min(self._most_pixels, batch.pixels // 2)
            problem = ImageError(f"{TOO_LARGE}.", Kind.OUT_OF_MEMORY)
        # Outside the except block, since the error keeps the failed call's tensors alive.
        torch.cuda.empty_cache()
        if len(batch.images) == 1:
            batch.outcomes = [problem]
            return
        for single in batch.singles():
            self._work_on(single)
            batch.outcomes += single.outcomes
