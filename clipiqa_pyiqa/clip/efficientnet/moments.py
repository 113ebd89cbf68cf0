"""Statistics of a network's maps as its image feature: mean and log standard deviation of every channel of every map.

Taken over a whole map they describe the image; taken over cells of 32 px with their eight neighbours they describe each
place of it, and the same projection turns either into a feature.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

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

CPU_BAND_CELLS = 1024
CHANNELS = 256
"""About how many cells and channels of the dense features are worked on at once: what stays in a core's cache."""


def grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of cells in an image: as many as a CLIP ResNet's last map has positions."""
    return (height + 1) // 2 // 16, (width + 1) // 2 // 16


class Tap:
    """Averages of a map ``(N, C, H, W)`` and of its square, gathered while its rows pass by.

    Args:
        rows: H.
        side: height and width of a cell on this map.
        cells: ``(N, 2, C, h, w)``, where the averages over cells are to be written, or None; see :func:`exact`.
        wide: dtype to sum in.
        keep: whether the map will be needed again.
    """

    def __init__(self, rows: int, side: int, cells: Tensor | None, wide: torch.dtype, keep: bool):
        self.side, self._cells, self._wide = side, cells, wide
        self._sums: Tensor | float = 0.0
        self._pixels = self._done = 0  # pixels, and rows of cells
        self.map = RowMap(rows) if keep else None

    def watch(self, strips: Strips) -> Strips:
        """Pass the map's strips on."""
        queue = RowQueue()
        for y in strips:
            if self.map is not None:
                self.map.append(y)
            x = y.to(self._wide)
            self._pixels += x.shape[2] * x.shape[3]
            if self._cells is None:
                self._sums = self._sums + exact(_sums(x))
            else:
                queue.push(x)
                for run in queue.runs(self.side):
                    self._pool(run, self._cells)
            yield y
        if queue.rows:
            self._sums = self._sums + exact(_sums(queue.take(queue.rows)))

    def _pool(self, x: Tensor, cells: Tensor) -> None:
        """Whole rows of cells: what the map needs, and each cell's averages."""
        x = x if _is_large(x) else exact(x)
        square = x.square()
        self._sums = self._sums + exact(_summed(x, square))
        # a row of cells that is cut off by the image's border has none
        kept, columns = min(x.shape[2] // self.side, cells.shape[-2] - self._done), cells.shape[-1]
        for into, values in zip(cells.unbind(1), (x, square), strict=True):
            means = values if self.side == 1 else F.avg_pool2d(values, self.side)
            into[:, :, self._done : self._done + kept] = means[:, :, :kept, :columns]
        self._done += kept

    @property
    def moments(self) -> Tensor:
        """Averages of the map and of its square, ``(N, 2, C)``, in float64 where the device has it."""
        assert isinstance(self._sums, Tensor)
        return self._sums / self._pixels


def exact(x: Tensor) -> Tensor:
    """In float64, but on a device that has none: the small difference of two averages is a variance."""
    return x if x.device.type == "mps" else x.double()


def plain_moments(x: Tensor) -> Tensor:
    """What :attr:`Tap.moments` is, of a whole map, by plain differentiable operations."""
    x = exact(x)
    return torch.stack([x.mean((2, 3)), x.square().mean((2, 3))], dim=1)


def pooled(x: Tensor, side: int) -> Tensor:
    """Averages of a map and of its square over cells: ``(N, C, H, W)`` to ``(N, 2, C, H // side, W // side)``."""
    x, mean = exact(x), _plain_pool if is_traced() else F.avg_pool2d
    return torch.stack([mean(x, side), mean(x.square(), side)], dim=1)


def pull_back_rows(
    y: Tensor, row: int, size: tuple[int, int], side: int, of_moments: Tensor, of_cells: Tensor | None
) -> Tensor:
    """Gradient with respect to the strip ``y`` of a map, from the gradients of its averages.

    Args:
        y: rows of the map from ``row`` on, in a wide dtype.
        row: which row of the map is the strip's first.
        size: height and width of the map.
        side: of a cell.
        of_moments: gradient of the moments, ``(N, 2, C)``.
        of_cells: gradient of the cells, ``(N, 2, C, h, w)``, or None.
    """
    first, second = (part[:, :, None, None] / (size[0] * size[1]) for part in of_moments.unbind(1))
    grad = torch.addcmul(first, y, second, value=2.0)
    if of_cells is not None:
        top, bottom = row // side, min(-(-(row + y.shape[2]) // side), of_cells.shape[-2])
        if top < bottom:
            spread = of_cells[..., top:bottom, :].repeat_interleave(side, -2).repeat_interleave(side, -1) / side**2
            spread = spread[..., row - top * side :, :][..., : y.shape[2], : y.shape[3]]
            rows, columns = spread.shape[-2:]
            grad[:, :, :rows, :columns] += spread[:, 0] + 2 * y[:, :, :rows, :columns] * spread[:, 1]
    return grad


class Readout:
    """From statistics to a feature: standardised, one to three layers. The first one takes the standardising in.

    Args:
        tensors: with ``visual.statistics.{mean,scale}`` (S,), ``visual.proj.{weight,bias}`` (D, S) and, for two layers
            with a ReLU between, ``visual.hidden.{weight,bias}`` (K, S); S holds all means, then all log deviations.
            Where the hidden units ask little of so many statistics, ``visual.answers.{weight,bias}`` (R, S) come before
            them, with nothing between, and hidden is (K, R).
        centres: ``(S / 2,)``, by how much the maps lie lower than those the statistics were taken of.
        eps: added to each variance before its logarithm is taken.
        device: where to compute.
        dtype: fp32 or float64.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], centres: Tensor, eps: float, device: torch.device, dtype: torch.dtype
    ):
        def load(name: str) -> Tensor:
            return tensors[f"visual.{name}"].double()

        first, *rest = (name for name in ("answers", "hidden", "proj") if f"visual.{name}.weight" in tensors)
        weight = load(f"{first}.weight") / load("statistics.scale")
        offset = load("statistics.mean") - torch.cat([centres, torch.zeros_like(centres)])
        bias = load(f"{first}.bias") - weight @ offset
        self.bias = bias.to(device, dtype)
        self.of_means, self.of_deviations = (part.to(device, dtype).contiguous() for part in weight.chunk(2, dim=1))
        self.rest = [
            (load(f"{name}.weight").to(device, dtype), load(f"{name}.bias").to(device, dtype), name == "proj")
            for name in rest
        ]
        self.eps = eps

    def __call__(self, moments: Tensor) -> Tensor:
        """Moments ``(N, 2, C)`` to features ``(N, D)``."""
        mean, deviation = self.statistics(moments)
        return self._end(F.linear(mean, self.of_means, self.bias) + F.linear(deviation, self.of_deviations))

    def statistics(self, moments: Tensor) -> tuple[Tensor, Tensor]:
        """Means, from the file's on, and log deviations, ``(N, C, …)`` each, of moments ``(N, 2, C, …)``."""
        mean, square = moments.unbind(1)
        variance = torch.addcmul(square, mean, mean, value=-1.0).to(self.bias.dtype)
        return mean.to(self.bias.dtype), variance.clamp(min=0).add(self.eps).log() / 2

    def dense(self, cells: Tensor) -> Tensor:
        """Moments of cells ``(N, 2, C, h, w)`` to features of cells with their neighbours, ``(N, D, h, w)``."""
        rows, columns = cells.shape[-2:]
        if is_traced() or cells.device.type != "cpu":
            return self._band(cells, 0, rows).permute(0, 3, 1, 2)  # (N, h, w, D) -> (N, D, h, w)
        step = max(1, CPU_BAND_CELLS // columns)
        edges = [*range(0, rows, step), rows]
        bands = [self._band(cells, start, stop) for start, stop in itertools.pairwise(edges)]
        return torch.cat(bands, dim=1).permute(0, 3, 1, 2)

    def _band(self, cells: Tensor, start: int, stop: int) -> Tensor:
        """Rows ``start`` to ``stop`` of the dense features, ``(N, rows, w, D)``."""
        above, below = max(start - 1, 0), min(stop + 1, cells.shape[-2])
        found: Tensor = self.bias
        weights = zip(self.of_means.split(CHANNELS, 1), self.of_deviations.split(CHANNELS, 1), strict=True)
        for part, weight in zip(cells[..., above:below, :].split(CHANNELS, 2), weights, strict=True):
            around = with_neighbours(part.flatten(0, 1)).unflatten(0, part.shape[:2])
            values = self.statistics(around[..., start - above :, :][..., : stop - start, :])
            for value, of_value in zip(values, weight, strict=True):
                found = found + F.linear(value.permute(0, 2, 3, 1), of_value)
        return self._end(found)

    def _end(self, x: Tensor) -> Tensor:
        for weight, bias, after_relu in self.rest:
            x = F.linear(x.relu() if after_relu else x, weight, bias)
        return x


def with_neighbours(cells: Tensor) -> Tensor:
    """Each cell of ``(N, C, h, w)`` averaged with its eight neighbours; at the border, with those that there are."""
    sums = _three_by_three if is_traced() else _three_by_three_in_place
    return sums(cells) / sums(torch.ones_like(cells[:1, :1]))


def _three_by_three(x: Tensor) -> Tensor:
    """Sums over 3×3 places, by additions alone: onnxruntime pools only fp32."""
    x = F.pad(x, (1, 1, 1, 1))
    x = x[:, :, :-2] + x[:, :, 1:-1] + x[:, :, 2:]
    return x[..., :-2] + x[..., 1:-1] + x[..., 2:]


def _three_by_three_in_place(x: Tensor) -> Tensor:
    """The same in a fifth of the time that ``F.avg_pool2d`` takes for float64 with channels last."""
    for axis in (2, 3):
        size, y = x.shape[axis], x.clone()
        y.narrow(axis, 1, size - 1).add_(x.narrow(axis, 0, size - 1))
        y.narrow(axis, 0, size - 1).add_(x.narrow(axis, 1, size - 1))
        x = y
    return x


def _plain_pool(x: Tensor, side: int) -> Tensor:
    """``F.avg_pool2d(x, side)`` as a mean: onnxruntime pools only fp32."""
    rows, columns = x.shape[2] // side, x.shape[3] // side
    x = x[:, :, : rows * side, : columns * side]
    return x.unflatten(3, (columns, side)).unflatten(2, (rows, side)).mean((3, 5))


def with_all_channels(parts: Sequence[Tensor]) -> Tensor:
    """The moments or cells of several taps as those of one map with all their channels."""
    return torch.cat(list(parts), dim=2)


def _sums(x: Tensor) -> Tensor:
    """Sums of a map and of its square over its positions: ``(N, C, H, W)`` to ``(N, 2, C)``."""
    x = x if _is_large(x) else exact(x)
    return _summed(x, x.square())


def _is_large(x: Tensor) -> bool:
    return x.shape[2] * x.shape[3] > SMALL


def _summed(*maps: Tensor) -> Tensor:
    # rows first: sums of a few hundred are accurate, and contiguous ones fast
    return torch.stack([x.permute(0, 2, 3, 1).sum(1).sum(1) for x in maps], dim=1)
