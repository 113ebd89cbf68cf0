"""The limit of memory for images: half of the machine's, or what the user sets."""

import functools
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...errors import OptionError
from ...text import shown

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass
class _Setting:
    """The limit that the user set for this process, in bytes; None if it was not set."""

    limit: int | None = None


_setting = _Setting()


def limit_memory(size: int | None) -> None:
    """Set the limit, in bytes; None means half of the machine's memory."""
    _setting.limit = size


def memory_limit() -> int:
    """Return the bytes that images may take at once."""
    return _setting.limit or half_of_memory()


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


def parse_size(text: str) -> int:
    """Return the number of bytes that a text such as ``2G`` means (K, M, G, T: powers of 1000)."""
    match = re.fullmatch(r"(\d+\.?\d*)([KMGT]?)B?", text.strip().upper())
    size = float(match[1]) * _UNITS[match[2]] if match else 0
    if not 1e6 <= size < 1e18:
        raise OptionError(
            f"memory must be a size of at least 1M, such as 2G or 500M; got {shown(text)}.", options=("memory",)
        )
    return int(size)
