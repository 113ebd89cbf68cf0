"""Memory that decoding and scoring may take, shared by the threads that read ahead.

An image says in its first bytes how many pixels it has. So its share is set aside before it is decoded, in the order of
the images, so that the one that is waited for never waits for those behind it; what is decoded keeps its own bytes
until it is handed out, and what scoring the largest image so far takes is kept free. An image that would need more
than there is in all is refused.

What is freed goes back to the system, or, in processes of our own, serves the next batch.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import threading
from collections import deque
from pathlib import Path
from types import TracebackType

from ..errors import ImageError, Kind, OptionError, shown

DECODING = 9
"""Bytes a pixel takes while it is decoded: four in PIL, three as RGB, and a part of the picture on its way."""

SHARE = 0.5  # of the machine's memory that decoding and scoring may take
ENLARGED = 4_000_000_000
"""Bytes that a picture which is enlarged first may take unless more was set: a small file can ask for any size so."""
_UNKNOWN = 8 << 30  # bytes, where a system does not say how much it has
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # glibc's malloc.h
_KEPT_BLOCK, _KEPT = 32 << 20, 1 << 30  # bytes of a block, and of free memory at the heap's end, that are kept
_LARGE = 64 << 20  # bytes that are worth the milliseconds of returning them
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_limit: list[int] = []  # what was set
VARIABLE = "CLIPIQA_MEMORY"
_own = threading.local()


def memory_limit(enlarged: bool = False) -> int:
    """Return how many bytes decoding and scoring may take.

    They are what was set, here or by ``CLIPIQA_MEMORY``, or half of what the machine has; of pictures that are
    ``enlarged`` first, at most :data:`ENLARGED` in the latter case.

    Raises:
        OptionError: ``CLIPIQA_MEMORY`` is no size.
    """
    if not _limit and os.environ.get(VARIABLE):
        _limit.append(parse_size(os.environ[VARIABLE], VARIABLE))
    if _limit:
        return _limit[0]
    return min(_half(), ENLARGED) if enlarged else _half()


@functools.cache
def _half() -> int:
    found = []
    with contextlib.suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # ValueError: 'max'
            found.append(int(Path(path).read_text()))
    return int(SHARE * min(found, default=_UNKNOWN))


def limit_memory(size: int | None) -> None:
    """Set how many bytes decoding and scoring may take in this process.

    Args:
        size: The bytes; None goes back to ``CLIPIQA_MEMORY``, or half of what the machine has.
    """
    _limit[:] = [] if size is None else [size]


def parse_size(text: str, what: str) -> int:
    """A number of bytes, with K, M, G or T (powers of 1000) behind it.

    Raises:
        OptionError: It is no size from 1 MB on.
    """
    number, unit = text.strip().upper().removesuffix("B"), ""
    if number[-1:] in ("K", "M", "G", "T"):
        number, unit = number[:-1], number[-1]
    try:
        size = float(number) * 1000.0 ** " KMGT".index(unit or " ")
    except (ValueError, OverflowError):
        size = 0
    if not 1e6 <= size < 1e18:
        raise OptionError(f"{what} must be a size from 1M on, such as 2G or 500M, but is {shown(text)}.")
    return int(size)


class Budget:
    """Limits the memory of one row of images that are read ahead and scored.

    Args:
        scoring: Bytes that scoring takes for each pixel of an image.
        enlarged: Whether images are enlarged first.
    """

    def __init__(self, scoring: int = 0, enlarged: bool = False) -> None:
        self.scoring, self.enlarged = scoring, enlarged
        self._limit = memory_limit(enlarged)
        self._used = 0
        self._reserved = 0  # for scoring the largest image so far
        self._queue: deque[Ticket] = deque()  # those that may still ask, in the order of their images
        self._changed = threading.Condition()
        self._closed = False

    def ticket(self) -> Ticket:
        """The next image's right to memory."""
        ticket = Ticket(self)
        with self._changed:
            self._queue.append(ticket)
        return ticket

    def close(self) -> None:
        """Nobody waits any more, since nothing that is decoded from now on is handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self, ticket: Ticket, size: int, scoring: int) -> None:
        with self._changed:
            self._reserved = max(self._reserved, scoring)
            self._changed.wait_for(lambda: self._closed or (self._queue[0] is ticket and self._has_room(size)))
            self._set(ticket, size)

    def _has_room(self, size: int) -> bool:
        return not self._used or self._used + size + self._reserved <= self._limit

    def _set(self, ticket: Ticket, size: int) -> None:
        """Note what an image takes from now on; it asks no more."""
        with self._changed:
            self._used += size - ticket.size
            ticket.size = size
            with contextlib.suppress(ValueError):
                self._queue.remove(ticket)
            self._changed.notify_all()


class Ticket:
    """An image's right to memory: a context manager around its decoding, in the thread that does it."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.scoring, self.enlarged = budget.scoring, budget.enlarged
        self.size = 0

    def take(self, size: int, scoring: int) -> None:
        """Wait until so many bytes may be taken, and as many more as scoring will; the reference of a pair never waits.

        It would wait for the share that it holds itself.
        """
        if self.size:
            self._budget._set(self, self.size + size)
        else:
            self._budget._take(self, size, scoring)

    def keep(self, size: int) -> None:
        """Keep so many bytes from now on: what is decoded, or nothing once it was handed out."""
        if self.size - size >= _LARGE:
            give_back_memory()
        self._budget._set(self, size)

    def __enter__(self) -> Ticket:
        _own.ticket = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _own.ticket = None
        if kind is not None or not self.size:
            self.keep(0)


def give_back_memory() -> None:
    """Return what was freed to the system: glibc would keep PIL's blocks, in each thread its own, beside our count."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).malloc_trim(0)


def keep_memory() -> None:
    """Let this process keep what it frees, until :func:`give_back_memory`, instead of asking anew for every batch.

    The system clears each page that it hands out, which glibc otherwise asks of it for every large tensor again. For
    processes of our own only: how memory is had is no library's to decide.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        for parameter, size in ((_M_MMAP_THRESHOLD, _KEPT_BLOCK), (_M_TRIM_THRESHOLD, _KEPT)):
            ctypes.CDLL(None).mallopt(parameter, size)


def set_aside(
    name: str, width: int, height: int, scored: tuple[int, int] | None = None, decoding: int = DECODING
) -> None:
    """Wait, in a thread that has a ticket, until an image may be decoded.

    Args:
        name: Of the image.
        width, height: In pixels.
        scored: Width and height as scored, if it is shrunk.
        decoding: Bytes that decoding, or whatever else makes the image, takes for each pixel.

    Raises:
        ImageError: Decoding or scoring it would need more memory than there is.
    """
    ticket: Ticket | None = getattr(_own, "ticket", None)
    scoring = 0 if ticket is None else ticket.scoring * math.prod(scored or (width, height))
    decoding *= width * height
    check_memory(name, width, height, decoding, scoring, ticket is not None and ticket.enlarged)
    if ticket is not None:
        ticket.take(decoding, scoring)


def check_memory(name: str, width: int, height: int, decoding: int, scoring: int, enlarged: bool = False) -> None:
    """Raise ``ImageError`` for an image that takes more bytes to decode or to score than it may."""
    size, limit = max(decoding, scoring), memory_limit(enlarged)
    if size > limit:
        work = "decode" if size == decoding else "enlarge and score" if enlarged else "decode and score"
        smaller = "" if decoding > limit else "set max_side to make it smaller, or "
        raise ImageError(
            f"has {width}×{height} pixels, which take about {size / 1e9:.1f} GB to {work}, and only "
            f"{limit / 1e9:.1f} GB may be taken: {smaller}allow more with --memory SIZE, {VARIABLE}=SIZE or "
            "clipiqa_pyiqa.images.memory.limit_memory(SIZE)",
            *(Kind.OUT_OF_MEMORY, name),
        )
