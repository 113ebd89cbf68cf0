"""Moments of a network's maps: averages of every channel and of its square, over a whole map and over cells of 32 px.

Over the map they describe the image, over cells (with their neighbours, :mod:`.readout`) each place of it.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..gradient import is_traced
from ..strips import RowMap
from .rows import RowQueue, Strips

CELL = 32
"""Side in pixels of a cell of the dense features."""

SMALL = 1 << 12
"""Pixels up to which a strip is squared in float64: few values may lie close together, and it costs nothing there."""

RUN = 1 << 20
"""Numbers of a map that are pooled at once, about: enough to be worth a dozen operations, few enough for the cache."""


def grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of cells in an image: as many as a CLIP ResNet's last map has positions."""
    return (height + 1) // 2 // 16, (width + 1) // 2 // 16


class Cells(NamedTuple):
    """Averages over the cells of a map, and variances within them.

    Attributes:
        mean: ``(N, C, h, w)``.
        variance: ``(N, C, h, w)``; where a cell has one position, so that there is none, ``(N, 0, h, w)``.
    """

    mean: Tensor
    variance: Tensor


class Tap:
    """Moments of a map ``(N, C, H, W)``, gathered while its rows pass by.

    Args:
        rows: H.
        side: height and width of a cell on this map.
        whole: whether the moments of the whole map are wanted.
        size: rows and columns of cells, if those are wanted.
        wide: dtype to sum in.
        keep: whether the map will be needed again.
    """

    def __init__(self, rows: int, side: int, whole: bool, size: tuple[int, int] | None, wide: torch.dtype, keep: bool):
        self.side, self._whole, self._size, self._wide = side, whole, size, wide
        self._sums: Tensor | float = 0.0
        self._pixels = 0
        self._cells: list[Cells] = []  # runs of rows of them
        self.map = RowMap(rows) if keep else None

    def watch(self, strips: Strips) -> Strips:
        """Pass the map's strips on."""
        queue = RowQueue()
        for y in strips:
            if self.map is not None:
                self.map.append(y)
            x = y.to(self._wide)
            self._pixels += x.shape[2] * x.shape[3]
            if self._size is None:
                self._add(x)
            else:
                queue.push(x)
                least = RUN // (x.shape[1] * x.shape[3]) + 1
                if queue.rows >= least:
                    self._pool(queue.runs(self.side, least), *self._size)
            yield y
        if self._size is not None:
            self._pool(queue.runs(self.side, queue.rows), *self._size)
            if queue.rows:  # cut off by the border
                self._add(queue.take(queue.rows))

    def _add(self, x: Tensor) -> None:
        """A part of the map to its sums."""
        if self._whole and x.numel():
            x = x if _is_large(x) else exact(x)
            self._sums = self._sums + exact(_summed(x, x.square()))

    def _pool(self, runs: Strips, rows: int, columns: int) -> None:
        """From whole rows of cells, each one's average and variance, and what the map needs."""
        side = self.side
        for x in runs:
            done = sum(run.mean.shape[2] for run in self._cells)
            here = min(x.shape[2] // side, rows - done)  # a row that the border cuts off has none
            if here:
                self._cells.append(_merged(x[:, :, : here * side, : columns * side], side))
            if side == 1:
                self._add(x)
            else:  # what lies outside of all cells; these are added up at the end
                self._add(x[:, :, : here * side, columns * side :])
                self._add(x[:, :, here * side :])

    @cached_property
    def cells(self) -> Cells:
        """Averages over cells and variances within them."""
        runs = self._cells
        return runs[0] if len(runs) == 1 else Cells(*(torch.cat(parts, dim=2) for parts in zip(*runs, strict=True)))

    @property
    def moments(self) -> Tensor:
        """Averages of the map and of its square, ``(N, 2, C)``, in float64 where the device has it."""
        sums = self._sums
        if self._size is not None and self.side > 1:
            mean, variance = map(exact, self.cells)
            sums = sums + self.side**2 * _summed(mean, torch.addcmul(variance, mean, mean))
        assert isinstance(sums, Tensor)
        return sums / self._pixels


def exact(x: Tensor) -> Tensor:
    """In float64, but on a device that has none: the small difference of two averages is a variance."""
    return x if x.device.type == "mps" else x.double()


def _merged(x: Tensor, side: int) -> Cells:
    """Averages and variances of a map's cells, ``side`` a power of two: two rows become one, and so on, then columns.

    Variances follow from the sum of all pairs' squared differences: of twice as many it is twice the two sums and the
    squared difference of the totals. That loses nothing where a map is nearly constant, so that fp32 does.
    """
    count = side**2
    pairs: Tensor | None = None
    for axis in (2, 3):
        for _ in range(side.bit_length() - 1):
            one, other = _halves(x, axis)
            found = (one - other).square_()
            for half in () if pairs is None else _halves(pairs, axis):
                found.add_(half, alpha=2)
            x, pairs = one + other, found
    return Cells(x, x[:, :0]) if pairs is None else Cells(x / count, pairs / count**2)


def _halves(x: Tensor, axis: int) -> tuple[Tensor, ...]:
    """Every other row (axis 2) or column (3), and the ones between."""
    return x.unflatten(axis, (-1, 2)).unbind(axis + 1)


def plain_moments(x: Tensor) -> Tensor:
    """What :attr:`Tap.moments` is, of a whole map, by plain differentiable operations."""
    x = exact(x)
    return torch.stack([x.mean((2, 3)), x.square().mean((2, 3))], dim=1)


def plain_cells(x: Tensor, side: int, size: tuple[int, int]) -> Cells:
    """What a :class:`Tap` writes of a whole map into ``size`` cells, by plain differentiable operations."""
    rows, columns = size
    if side == 1:
        return Cells(x[:, :, :rows, :columns], x[:, :0, :rows, :columns])
    pool = _plain_pool if is_traced() else F.avg_pool2d
    dtype, x = x.dtype, exact(x)
    mean, square = (pool(part, side)[:, :, :rows, :columns] for part in (x, x.square()))
    return Cells(mean.to(dtype), (square - mean.square()).clamp(min=0).to(dtype))


def pull_back_rows(
    y: Tensor, row: int, size: tuple[int, int], side: int, of_moments: Tensor | None, of_cells: Cells | None
) -> Tensor:
    """Gradient with respect to the strip ``y`` of a map, from the gradients of its averages.

    Args:
        y: rows of the map from ``row`` on, in a wide dtype.
        row: which row of the map is the strip's first.
        size: height and width of the map.
        side: of a cell.
        of_moments: gradient of the moments, ``(N, 2, C)``, or None.
        of_cells: gradient of the averages over cells, and of those of squares where they vary; or None.
    """
    if of_moments is None:
        grad = torch.zeros_like(y)
    else:
        first, second = (part[:, :, None, None] / (size[0] * size[1]) for part in of_moments.unbind(1))
        grad = torch.addcmul(first, y, second, value=2.0)
    if of_cells is None:
        return grad
    top, bottom = row // side, min(-(-(row + y.shape[2]) // side), of_cells.mean.shape[2])
    if top >= bottom:
        return grad
    for order, of_cell in enumerate(of_cells):
        if not of_cell.shape[1]:
            continue
        spread = of_cell[:, :, top:bottom].repeat_interleave(side, 2).repeat_interleave(side, 3) / side**2
        spread = spread[:, :, row - top * side :][:, :, : y.shape[2], : y.shape[3]]
        part = (..., slice(spread.shape[2]), slice(spread.shape[3]))
        grad[part] += spread if order == 0 else 2 * y[part] * spread
    return grad


def _plain_pool(x: Tensor, side: int) -> Tensor:
    """``F.avg_pool2d(x, side)`` as a mean: onnxruntime pools only fp32."""
    rows, columns = x.shape[2] // side, x.shape[3] // side
    x = x[:, :, : rows * side, : columns * side]
    return x.unflatten(3, (columns, side)).unflatten(2, (rows, side)).mean((3, 5))


def _is_large(x: Tensor) -> bool:
    return x.shape[2] * x.shape[3] > SMALL


def _summed(*maps: Tensor) -> Tensor:
    """Sums of maps ``(N, C, H, W)`` over their positions, ``(N, maps, C)``."""
    # rows first: sums of a few hundred are accurate, and contiguous ones fast
    return torch.stack([x.permute(0, 2, 3, 1).sum(1).sum(1) for x in maps], dim=1)
