"""The limit of memory for decoding and scoring."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ..errors import ImageError, Kind, OptionError, shown

DECODING = 9
"""Bytes per pixel while an image is decoded: four in PIL, three as RGB, and the rest for the conversion."""

SHARE = 0.5  # default limit, as a share of the machine's memory
VARIABLE = "CLIPIQA_MEMORY"
_UNKNOWN = 8 << 30  # bytes of memory that are assumed if the system does not report them
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # names in glibc's malloc.h
_KEPT_BLOCK, _KEPT = 32 << 20, 1 << 30  # bytes that glibc keeps: of a block, and of free memory at the heap's end
_LARGE = 64 << 20  # smallest number of bytes that is worth the milliseconds of returning them
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_limit: list[int] = []  # empty if no limit is set
_thread = threading.local()


def memory_limit() -> int:
    """Return the limit in bytes: the set limit, else ``CLIPIQA_MEMORY``, else half of the machine's memory."""
    if _limit:
        return _limit[0]
    size = os.environ.get(VARIABLE)
    return parse_size(size, VARIABLE) if size else _half_of_memory()


@functools.cache
def _half_of_memory() -> int:
    sizes = []
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # ValueError: 'max'
            sizes.append(int(Path(path).read_text()))
    return int(SHARE * min(sizes, default=_UNKNOWN))


def limit_memory(size: int | None) -> None:
    """Set the limit in bytes; None restores the default."""
    _limit[:] = [] if size is None else [size]


def parse_size(text: str, name: str) -> int:
    """Return the bytes of a text such as ``2G`` (K, M, G, T: powers of 1000)."""
    found = re.fullmatch(r"(\d+\.?\d*)([KMGT]?)B?", text.strip().upper())
    size = float(found[1]) * 1000.0 ** " KMGT".index(found[2] or " ") if found else 0
    if not 1e6 <= size < 1e18:
        raise OptionError(f"{name} must be a size of at least 1M, such as 2G or 500M; got {shown(text)}.")
    return int(size)


class Room:
    """A semaphore of ``most`` bytes. If no byte is taken, one request may be larger."""

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0
        self._is_closed = False
        self.changed = threading.Condition()

    def take(self, size: int, spare: int = 0, may_take: Callable[[], bool] = lambda: True) -> bool:
        """Wait until ``size`` and ``spare`` bytes are free; return False after ``close``."""
        with self.changed:
            self.changed.wait_for(
                lambda: self._is_closed or (may_take() and (not self.used or self.used + size + spare <= self.most))
            )
            self.used += size
            return not self._is_closed

    def give(self, size: int) -> None:
        with self.changed:
            self.used -= size
            self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self._is_closed = True
            self.changed.notify_all()


class Budget(Room):
    """The memory of images that are read ahead; ``scoring`` is bytes per pixel."""

    def __init__(self, scoring: int = 0) -> None:
        super().__init__(memory_limit())
        self.scoring = scoring
        self.largest = 0  # bytes that scoring takes for the largest image so far
        self.waiting: deque[Ticket] = deque()


class Ticket:
    """An image's place in the order: a context manager around decoding."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.size = budget, 0
        budget.waiting.append(self)

    def take(self, size: int, scoring: int) -> None:
        budget = self.budget
        if self.size:  # the second picture of a pair, which would wait for the first picture forever
            budget.give(-size)
        else:
            budget.largest = max(budget.largest, scoring)
            budget.take(size, budget.largest, lambda: budget.waiting[0] is self)
        self.size += size
        self._leave()

    def give_back(self) -> None:
        if self.size >= _LARGE:
            give_back_memory()
        self.budget.give(self.size)

    def _leave(self) -> None:
        with self.budget.changed:
            if self in self.budget.waiting:
                self.budget.waiting.remove(self)
                self.budget.changed.notify_all()

    def __enter__(self) -> None:
        _thread.ticket = self

    def __exit__(self, *_: object) -> None:
        _thread.ticket = None
        self._leave()


def give_back_memory() -> None:
    """Give freed memory, which glibc keeps, back to the system."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).malloc_trim(0)


def keep_memory() -> None:
    """Let this process keep freed memory, for speed; only programs may call this."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        for parameter, size in ((_M_MMAP_THRESHOLD, _KEPT_BLOCK), (_M_TRIM_THRESHOLD, _KEPT)):
            ctypes.CDLL(None).mallopt(parameter, size)


def set_aside(
    name: str, width: int, height: int, scored: tuple[int, int] | None = None, decoding: int = DECODING
) -> None:
    """Wait for an image's memory; raise ``ImageError`` if the image needs more than the limit.

    ``scored`` is the size after shrinking; ``decoding`` is bytes per pixel.
    """
    ticket: Ticket | None = getattr(_thread, "ticket", None)
    scoring = 0 if ticket is None else ticket.budget.scoring * math.prod(scored or (width, height))
    check_memory(name, width, height, decoding * width * height, scoring)
    if ticket is not None:
        ticket.take(decoding * width * height, scoring)


def check_memory(name: str, width: int, height: int, decoding: int, scoring: int) -> None:
    size, limit = max(decoding, scoring), memory_limit()
    if size > limit:
        work = "decode" if size == decoding else "score"
        smaller = "" if decoding > limit else "set max_side, or "
        raise ImageError(
            f"has {width}×{height} pixels, which take about {size / 1e9:.1f} GB to {work}; the limit of memory is "
            f"{limit / 1e9:.1f} GB: {smaller}raise the limit by memory=SIZE or {VARIABLE}=SIZE",
            *(Kind.OUT_OF_MEMORY, name),
        )
