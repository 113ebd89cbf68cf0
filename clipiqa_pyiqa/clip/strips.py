"""Strips of rows: a large image passes a network strip by strip, so that maps fit into a CPU's cache."""

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .tracing import is_traced

CPU_STRIP_BYTES = 8 << 20
"""Approximate size of a strip of the widest map."""


class Strip(NamedTuple):
    """Some rows of a map."""

    start: int
    stop: int
    is_last: bool  # whether no row of the map follows

    @property
    def rows(self) -> slice:
        return slice(self.start, self.stop)

    def before_pooling(self, stride: int, height: int) -> slice:
        """Return its rows on the map of this height whose rows are averaged ``stride`` at a time.

        The last rows of that map belong to the last strip, also if they are too few for an average.
        """
        return slice(self.start * stride, height if self.is_last else self.stop * stride)

    def widened(self, above: int, below: int, height: int) -> "Strip":
        """Return a strip with so many rows more, as far as a map of this height has them."""
        rows = widened(self.rows, above, below, height)
        return Strip(rows.start, rows.stop, rows.stop == height)


def widened(rows: slice, above: int, below: int, height: int) -> slice:
    """Return rows with so many more above and below, as far as a map of this height has them."""
    return slice(max(rows.start - above, 0), min(rows.stop + below, height))


class Band(NamedTuple):
    """Rows of a map, and the number of the first one on the whole map."""

    tensor: Tensor
    start: int

    def part(self, rows: slice) -> Tensor:
        """Return some of the rows, numbered as on the whole map."""
        return self.tensor[:, :, rows.start - self.start : rows.stop - self.start]

    def padded_part(self, rows: slice) -> Tensor:
        """Return some of the rows, with zeros for those that the band does not have."""
        return crop(self.tensor, rows.start - self.start, rows.stop - self.start)


def cut(x: Tensor, rows: int, row_size: int, most: int = 1) -> list[Strip]:
    """Return the strips of a map that has ``rows`` rows; only a single large image on a CPU is cut.

    Args:
        row_size: How many numbers a row of the widest map has.
        most: A map of at most so many strips stays whole.
    """
    count = 1
    wished_count = rows * row_size * x.element_size() / CPU_STRIP_BYTES
    if x.device.type == "cpu" and x.shape[0] == 1 and wished_count > most:
        count = max(1, min(rows // 2, round(wished_count)))
    edges = [rows * number // count for number in range(count + 1)]
    return [Strip(start, stop, stop == rows) for start, stop in pairwise(edges)]


class RowMap:
    """A map with ``rows`` rows, filled with strips from the top; ``whole`` is the map."""

    whole: Tensor

    def __init__(self, rows: int):
        self.rows, self.filled = rows, 0

    def append(self, strip: Tensor) -> None:
        count = strip.shape[-2]
        if count == self.rows:
            self.whole = strip
            return
        if self.filled == 0:
            like = strip[:, :, :1].expand(-1, -1, self.rows, -1)
            self.whole = torch.empty_like(like, memory_format=torch.channels_last)
        self.whole[:, :, self.filled : self.filled + count] = strip
        self.filled += count


def crop(x: Tensor, start: int, stop: int | None, left: int = 0) -> Tensor:
    """Return ``x[:, :, start:stop, left:]``, with zeros beyond the edges, and a gradient in the memory format of x."""
    below = 0 if stop is None else stop - x.shape[2]
    if (start, below, left) == (0, 0, 0):
        return x
    if max(-start, below) <= 0 and (is_traced() or not x.requires_grad):
        return x[:, :, start:stop, left:]
    return F.pad(x, (-left, 0, -start, below))
