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
"""Bytes per pixel while an image is decoded: four in PIL, three as RGB, and a part in conversion."""

SHARE = 0.5  # of the machine's memory
VARIABLE = "CLIPIQA_MEMORY"
_UNKNOWN = 8 << 30  # bytes, where a system does not say how much it has
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # glibc's malloc.h
_KEPT_BLOCK, _KEPT = 32 << 20, 1 << 30  # bytes of a block, and of free memory at the heap's end, that are kept
_LARGE = 64 << 20  # bytes that are worth the milliseconds of returning them
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_limit: list[int] = []  # empty: not set
_thread = threading.local()


def memory_limit() -> int:
    """Return the limit in bytes: as set, ``CLIPIQA_MEMORY``, or half of the machine's memory."""
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
    """A semaphore of ``most`` bytes; if none are taken, one request may be larger."""

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0
        self._is_closed = False
        self.changed = threading.Condition()

    def take(self, size: int, spare: int = 0, may_take: Callable[[], bool] = lambda: True) -> bool:
        """Wait for bytes, with ``spare`` left free; return False once closed."""
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
    """The memory of images read ahead; ``scoring`` is bytes per pixel."""

    def __init__(self, scoring: int = 0) -> None:
        super().__init__(memory_limit())
        self.scoring = scoring
        self.largest = 0  # bytes that scoring the largest image so far takes
        self.waiting: deque[Ticket] = deque()


class Ticket:
    """An image's place in the order: a context manager around decoding."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.size = budget, 0
        budget.waiting.append(self)

    def take(self, size: int, scoring: int) -> None:
        budget = self.budget
        if self.size:  # the second picture of a pair, which must not wait for the first
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
    """Give freed memory, which glibc keeps, to the system."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).malloc_trim(0)


def keep_memory() -> None:
    """Let this process keep freed memory, for speed; a library must not decide this."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        for parameter, size in ((_M_MMAP_THRESHOLD, _KEPT_BLOCK), (_M_TRIM_THRESHOLD, _KEPT)):
            ctypes.CDLL(None).mallopt(parameter, size)


def set_aside(
    name: str, width: int, height: int, scored: tuple[int, int] | None = None, decoding: int = DECODING
) -> None:
    """Wait for memory for an image; raise ``ImageError`` above the limit.

    Args:
        scored: Width and height after shrinking.
        decoding: Bytes that decoding takes per pixel.
    """
    ticket: Ticket | None = getattr(_thread, "ticket", None)
    scoring = 0 if ticket is None else ticket.budget.scoring * math.prod(scored or (width, height))
    check_memory(name, width, height, decoding * width * height, scoring)
    if ticket is not None:
        ticket.take(decoding * width * height, scoring)


def check_memory(name: str, width: int, height: int, decoding: int, scoring: int) -> None:
    """Raise ``ImageError`` if decoding or scoring takes more than the limit."""
    size, limit = max(decoding, scoring), memory_limit()
    if size > limit:
        work = "decode" if size == decoding else "score"
        smaller = "" if decoding > limit else "set max_side, or "
        raise ImageError(
            f"has {width}×{height} pixels, which take about {size / 1e9:.1f} GB to {work}; the limit of memory is "
            f"{limit / 1e9:.1f} GB: {smaller}raise it by memory=SIZE or {VARIABLE}=SIZE",
            *(Kind.OUT_OF_MEMORY, name),
        )
