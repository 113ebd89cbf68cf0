"""The memory of images that threads read ahead: each waits for its share before it is decoded."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import ImageError, Kind
from .byte_budget import ByteBudget
from .memory_limit import memory_limit
from .system_memory import give_back_memory

MakeRoom = Callable[[int, int], None]
"""Function that takes width and height before pixels are decoded; it may wait, or raise ``ImageError``."""
DECODING = 9  # bytes per pixel while an image is decoded: four in PIL, three as RGB, and two for the conversion
_LARGE = 64 << 20  # smaller shares are not returned to the system, since each return takes milliseconds


class ReadingMemory:
    """The memory of all images that a run reads ahead.

    They leave free what scoring takes.

    Args:
        bytes_per_pixel: Memory that scoring takes for each pixel of an image.
        at_once: Number of images that are scored at once.
    """

    def __init__(self, bytes_per_pixel: int = 0, at_once: int = 1) -> None:
        self.budget = ByteBudget(memory_limit())
        self.bytes_per_pixel = bytes_per_pixel
        self._at_once = at_once
        self._largest = 0  # bytes to score the largest image so far

    def note(self, scoring: int) -> None:
        """Take note of an image whose scoring takes ``scoring`` bytes."""
        self._largest = max(self._largest, scoring)

    @property
    def left_free(self) -> int:
        """The bytes that images read ahead leave free for scoring."""
        # several images that are scored at once take at most half; a single one may take more
        together = min(self._at_once * self._largest, self.budget.most // 2)
        return max(self._largest, together)


@dataclass
class ImageShare:
    """The share of one image in the memory of a run.

    The image that is next in turn never waits: images behind it may hold the memory that it needs.
    """

    memory: ReadingMemory
    size: int = 0
    is_next: bool = False

    def take(self, decoding: int, scoring: int) -> None:
        """Wait until the bytes that decoding the image takes are free, and take them."""
        self.memory.note(scoring)
        self.memory.budget.take(decoding, self.memory.left_free, lambda: self.is_next)
        self.size += decoding

    def hurry(self) -> None:
        """Let the thread that reads the image wait no longer."""
        self.is_next = True
        self.memory.budget.wake()

    def give_back(self) -> None:
        if self.size >= _LARGE:
            give_back_memory()
        self.memory.budget.give_back(self.size)


class _Thread(threading.local):
    """What this thread reads: the share of its image; None in a thread that does not read ahead."""

    share: ImageShare | None = None


_thread = _Thread()


def use_share(share: ImageShare) -> None:
    """Take the memory of images that this thread decodes from the share."""
    _thread.share = share


def is_reading_in_vain() -> bool:
    """Return whether the run has ended for which this thread reads an image."""
    return _thread.share is not None and _thread.share.memory.budget.is_closed


def set_aside(name: str, width: int, height: int, scored: tuple[int, int] | None = None) -> None:
    """Wait for an image's memory; raise ``ImageError`` if the image needs more than the limit.

    ``scored`` is the size after shrinking.
    """
    share = _thread.share
    decoding = DECODING * width * height
    scoring = 0
    if share is not None:
        scoring = share.memory.bytes_per_pixel * math.prod(scored or (width, height))
    _check_need(name, width, height, decoding, scoring)
    if share is not None:
        share.take(decoding, scoring)


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
