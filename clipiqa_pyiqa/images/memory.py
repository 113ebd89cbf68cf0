"""Memory that decoding and scoring may take, shared by the threads that read ahead.

An image says in its first bytes how many pixels it has, so its memory is set aside before it is decoded, in the order
of the images. It keeps its own bytes until it is handed out; what scoring the largest image so far takes stays free.
An image that would need more than the limit alone is refused.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

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


class Room:
    """A semaphore of bytes.

    Args:
        most: Bytes that may be taken together; one taker alone may have more.
    """

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0
        self._is_closed = False
        self.changed = threading.Condition()

    def take(self, size: int, spare: int = 0, turn: Callable[[], bool] = lambda: True) -> bool:
        """Wait until it is one's turn and there is room, with ``spare`` bytes left; False once the room is closed."""
        with self.changed:
            self.changed.wait_for(
                lambda: self._is_closed or (turn() and (not self.used or self.used + size + spare <= self.most))
            )
            self.used += size
            return not self._is_closed

    def give(self, size: int) -> None:
        """Give bytes back."""
        with self.changed:
            self.used -= size
            self.changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self.changed:
            self._is_closed = True
            self.changed.notify_all()


class Budget(Room):
    """Limits the memory of images that are decoded ahead of time and scored.

    Args:
        scoring: Bytes that scoring takes for each pixel of an image.
        enlarged: Whether images are enlarged first.
    """

    def __init__(self, scoring: int = 0, enlarged: bool = False) -> None:
        super().__init__(memory_limit(enlarged))
        self.scoring, self.enlarged = scoring, enlarged
        self.largest = 0  # bytes that scoring the largest image so far takes
        self.waiting: deque[Ticket] = deque()  # those that may still take, in the order of their images


class Ticket:
    """An image's right to memory, in the order of tickets: a context manager around its decoding."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.size = budget, 0
        with budget.changed:
            budget.waiting.append(self)

    def take(self, size: int, scoring: int) -> None:
        """Wait until so many bytes may be taken, and as many more as scoring will."""
        budget = self.budget
        if self.size:  # the second picture of a pair, which would wait for what the pair holds itself
            budget.give(-size)
        else:
            budget.largest = max(budget.largest, scoring)
            budget.take(size, budget.largest, lambda: budget.waiting[0] is self)
        self._set(self.size + size)

    def keep(self, size: int) -> None:
        """Keep so many bytes from now on: what is decoded, or nothing once it was handed out."""
        if self.size - size >= _LARGE:
            give_back_memory()
        self.budget.give(self.size - size)
        self._set(size)

    def _set(self, size: int) -> None:
        with self.budget.changed:
            self.size = size
            if self in self.budget.waiting:
                self.budget.waiting.remove(self)
            self.budget.changed.notify_all()

    def __enter__(self) -> Ticket:
        _own.ticket = self
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
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
    scoring = 0 if ticket is None else ticket.budget.scoring * math.prod(scored or (width, height))
    decoding *= width * height
    check_memory(name, width, height, decoding, scoring, ticket is not None and ticket.budget.enlarged)
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
