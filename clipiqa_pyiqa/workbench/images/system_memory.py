"""What the C library does with memory that this process has freed: it keeps it, or gives it back to the system."""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD = -1  # glibc's numbers of its parameters
_MMAP_THRESHOLD = -3
_MMAP_MAX = -4


def keep_memory() -> None:
    """Let this process keep freed memory, for speed; for commands, not libraries."""
    _set(_MMAP_THRESHOLD, 32 << 20)  # freed blocks up to this size
    _set(_TRIM_THRESHOLD, 1 << 30)  # free memory at the heap's end


def keep_large_blocks() -> None:
    """Let this process keep freed blocks of any size."""
    _set(_MMAP_MAX, 0)


def give_back_memory() -> None:
    with suppress(AttributeError, OSError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).malloc_trim(0)


def _set(parameter: int, size: int) -> None:
    with suppress(AttributeError, OSError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).mallopt(parameter, size)
