"""Strips of rows of one large image, each small enough for a CPU's cache."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

CPU_STRIP_BYTES = 8 << 20
"""Approximate size of a strip of the widest map."""


class RowMap:
    """A map with ``rows`` rows, filled with strips from the top."""

    def __init__(self, rows: int):
        self.rows, self.filled = rows, 0
        self.whole: Tensor = torch.empty(0, device="cpu")

    def append(self, strip: Tensor) -> None:
        count = strip.shape[-2]
        if count == self.rows:
            self.whole = strip
            return
        if self.filled == 0:
            shape = (*strip.shape[:2], self.rows, strip.shape[-1])
            self.whole = torch.empty(shape, dtype=strip.dtype, device=strip.device, memory_format=torch.channels_last)
        self.whole[:, :, self.filled : self.filled + count] = strip
        self.filled += count


def cut(x: Tensor, rows: int, row_size: int) -> list[tuple[int, int]]:
    """Return the rows ``(start, stop)`` of each strip; only a single large image on a CPU is cut.

    ``row_size`` is how many numbers a row of the widest map has.
    """
    count = 1
    if x.device.type == "cpu" and x.shape[0] == 1:
        count = max(1, min(rows // 2, round(rows * row_size * x.element_size() / CPU_STRIP_BYTES)))
    return list(pairwise(rows * i // count for i in range(count + 1)))


def take_rows(x: Tensor, start: int, stop: int) -> Tensor:
    height = x.shape[-2]
    inside = x[:, :, max(start, 0) : min(stop, height)]
    return F.pad(inside, (0, 0, max(-start, 0), max(stop - height, 0))) if start < 0 or stop > height else inside
