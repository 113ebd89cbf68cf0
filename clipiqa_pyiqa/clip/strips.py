"""Strips of rows: a large image passes a part of a network strip by strip, so that maps stay small."""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from .gradient import is_traced, needs_gradient

CPU_STRIP_BYTES = 8 << 20
"""Approximate size of a strip of the widest map, which suits a CPU's cache."""

STRIP_POSITIONS = 1 << 16
"""Positions of a strip's output, where strips save memory alone: those of an image of one megapixel after the stem."""


def in_strips(function: Callable[[Tensor], Tensor], x: Tensor, height: int, scale: int, halo: int) -> Tensor:
    """Return ``function(x)``; a large image on a CPU passes it in strips, if no gradient is needed.

    Args:
        function: A part of a network, with zeros around its maps.
        x: ``(N, C, H, W)``.
        height: Rows of the output.
        scale: Rows of ``x`` for one row of the output.
        halo: Rows of the output, from a border on, that depend on what lies beyond the border. Each strip has so many
            more on both sides, which are cut off.
    """
    if is_traced() or not x.is_cpu or needs_gradient(x) or height * (x.shape[3] // scale) < 2 * STRIP_POSITIONS:
        return function(x)
    rows = max(2 * halo, STRIP_POSITIONS // (x.shape[3] // scale))
    output: Tensor | None = None
    for start, stop in pairwise([*range(0, height - rows // 2, rows), height]):
        first = max(start - halo, 0)
        last = None if stop == height else (stop + halo) * scale
        strip = function(x[:, :, first * scale : last])[:, :, start - first : stop - first]
        if output is None:
            shape = (x.shape[0], strip.shape[1], height, strip.shape[3])
            output = torch.empty(shape, dtype=strip.dtype, memory_format=torch.channels_last)
        output[:, :, start:stop] = strip
    assert output is not None
    return output


def cut(x: Tensor, rows: int, row_size: int) -> list[tuple[int, int | None]]:
    """Return first and last row of each strip of an output with ``rows`` rows; None stands for the end.

    Args:
        x: The input; only a single large image on a CPU, without a gradient, is cut.
        row_size: How many numbers a row of the widest map has.
    """
    count = round(rows * row_size * x.element_size() / CPU_STRIP_BYTES)
    if count < 2 or not x.is_cpu or len(x) > 1 or needs_gradient(x):
        return [(0, None)]
    count = max(1, min(rows // 2, count))
    edges = [rows * number // count for number in range(count)]
    return [*pairwise(edges), (edges[-1], None)]


def crop(x: Tensor, start: int, stop: int | None, left: int = 0) -> Tensor:
    """Return ``x[:, :, start:stop, left:]``, with zeros beyond the edges, and a gradient in the memory format of x."""
    below = 0 if stop is None else stop - x.shape[2]
    if (start, below, left) == (0, 0, 0):
        return x
    if max(-start, below) <= 0 and (is_traced() or not x.requires_grad):
        return x[:, :, start:stop, left:]
    return F.pad(x, (-left, 0, -start, below))
