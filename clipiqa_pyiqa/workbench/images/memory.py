"""The limit of memory for images, and how threads that read ahead share it."""

import ctypes
import functools
import math
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ImageError, Kind, OptionError
from ...text import shown

MakeRoom = Callable[[int, int], None]
"""Function that takes width and height before pixels are decoded; it may wait, or raise ``ImageError``."""
DECODING = 9  # bytes per pixel while an image is decoded: four in PIL, three as RGB, and two for the conversion
_LARGE = 64 << 20  # smaller shares are not returned to the system, since each return takes milliseconds
_limit: int | None = None
_thread = threading.local()
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def memory_limit() -> int:
    """Return the bytes that images may take at once."""
    return _limit or half_of_memory()


@functools.cache
def half_of_memory() -> int:
    """Return half of what this machine or this container has, in bytes."""
    sizes = [8 << 30]  # assumed if the system does not report its memory
    with suppress(AttributeError, ValueError, OSError):
        sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # ValueError: 'max'
            sizes.append(int(Path(path).read_text()))
    return min(sizes) // 2


def limit_memory(size: int | None) -> None:
    global _limit
    _limit = size


def parse_size(text: str) -> int:
    """Return the number of bytes that a text such as ``2G`` means (K, M, G, T: powers of 1000)."""
    match = re.fullmatch(r"(\d+\.?\d*)([KMGT]?)B?", text.strip().upper())
    size = float(match[1]) * _UNITS[match[2]] if match else 0
    if not 1e6 <= size < 1e18:
        raise OptionError(
            f"{{memory}} must be a size of at least 1M, such as 2G or 500M; got {shown(text)}.", options=("memory",)
        )
    return int(size)


@dataclass
class Room:
    """A semaphore of ``most`` bytes. If no byte is taken, one request may be larger.

    Images read ahead leave free what scoring ``at_once`` images takes, ``bytes_per_pixel`` each.
    """

    most: int
    bytes_per_pixel: int = 0
    at_once: int = 1
    largest: int = 0  # bytes to score the largest image so far
    used: int = 0
    is_closed: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, size: int, spare: int = 0, is_urgent: Callable[[], bool] = lambda: False) -> bool:
        """Wait until ``size`` and ``spare`` bytes are free, or the request is urgent; return False after ``close``."""
        with self.changed:
            self.changed.wait_for(
                lambda: self.is_closed or is_urgent() or not self.used or self.used + size + spare <= self.most
            )
            self.used += size
            return not self.is_closed

    def give(self, size: int) -> None:
        """Free bytes, perhaps none, and let all who wait look again."""
        with self.changed:
            self.used -= size
            self.changed.notify_all()

    def close(self) -> None:
        self.is_closed = True
        self.give(0)


@dataclass
class Share:
    """The memory of one image that is read ahead.

    The image that is next in turn never waits: images behind it may hold the memory that it needs.
    """

    room: Room
    size: int = 0
    is_next: bool = False

    def hurry(self) -> None:
        """Let the thread that reads the image wait no longer."""
        self.is_next = True
        self.room.give(0)

    def give_back(self) -> None:
        if self.size >= _LARGE:
            give_back_memory()
        self.room.give(self.size)


def use_share(share: Share) -> None:
    """Take the memory of images that this thread decodes from the share."""
    _thread.share = share


def is_over() -> bool:
    """Return whether nobody waits any more for the image that this thread reads."""
    return hasattr(_thread, "share") and _thread.share.room.is_closed


def give_back_memory() -> None:
    with suppress(AttributeError, OSError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).malloc_trim(0)


def keep_memory(*more: tuple[int, int]) -> None:
    """Let this process keep freed memory, for speed; for commands, not libraries."""
    with suppress(AttributeError, OSError, TypeError):
        # glibc's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD: it keeps freed blocks, and free memory at the heap's end
        for parameter, size in ((-3, 32 << 20), (-1, 1 << 30), *more):
            ctypes.CDLL(None).mallopt(parameter, size)


def set_aside(name: str, width: int, height: int, scored: tuple[int, int] | None = None) -> None:
    """Wait for an image's memory; raise ``ImageError`` if the image needs more than the limit.

    ``scored`` is the size after shrinking.
    """
    share: Share | None = getattr(_thread, "share", None)
    decoding = DECODING * width * height
    scoring = 0
    if share:
        scoring = share.room.bytes_per_pixel * math.prod(scored or (width, height))
    _check_need(name, width, height, decoding, scoring)
    if share:
        room = share.room
        room.largest = max(room.largest, scoring)
        # several images that are scored at once take at most half; a single one may take more
        together = min(room.at_once * room.largest, room.most // 2)
        room.take(decoding, max(room.largest, together), lambda: share.is_next)
        share.size += decoding


def _check_need(name: str, width: int, height: int, decoding: int, scoring: int) -> None:
    """Raise ``ImageError`` if an image needs more bytes than the limit."""
    limit = memory_limit()
    need = max(decoding, scoring)
    if need <= limit:
        return
    work = "decode" if need == decoding else "score"
    smaller = "" if decoding > limit else "have large images shrunk, or "
    raise ImageError(
        f"has {width}×{height} pixels, which take about {need / 1e9:.3g} GB to {work}; the limit of memory is "
        f"{limit / 1e9:.3g} GB: {smaller}raise the limit of memory",
        Kind.OUT_OF_MEMORY,
        name,
    )
