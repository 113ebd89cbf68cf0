"""From a network's maps to features: mean and log deviation of every channel, asked by one to three layers.

Taken over a whole map they describe the image; taken over cells of 32 px with their eight neighbours they describe each
place of it, and the same layers turn either into a feature. Variances are averages of squared differences, never the
difference of two averages, so that nearly constant places lose nothing in fp32.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .gradient import recomputed

Moments = tuple[Tensor, Tensor]
"""Mean and variance of every channel: ``(N, C)`` each of images, ``(N, C, h, w)`` of places; fp32 or wider."""


def of_image(x: Tensor, side: int, grid: tuple[int, int]) -> Moments:
    """Moments of maps ``(N, C, H, W)``; ``side`` and ``grid`` are for places."""
    return _moments(wide(x), (2, 3))


def of_places(x: Tensor, side: int, grid: tuple[int, int]) -> Moments:
    """Moments of each cell with its eight neighbours, at the border with those that there are.

    Args:
        x: maps ``(N, C, H, W)``.
        side: of a cell on these maps.
        grid: rows and columns of cells.
    """
    x = wide(x[:, :, : grid[0] * side, : grid[1] * side])
    if side > 1:
        moments = _moments(x.unflatten(3, (grid[1], side)).unflatten(2, (grid[0], side)), (3, 5))
    else:
        moments = x, torch.zeros_like(x)
    for axis in (3, 2):
        moments = recomputed(_with_next, *moments, axis)
    return moments


def _moments(x: Tensor, axes: tuple[int, int]) -> Moments:
    """Means over two axes, and means of squared differences from them."""
    mean = x.mean(axes, keepdim=True)
    centre = mean.detach()  # about any constant, the average square less the squared average is the variance
    square = F.mse_loss(x, centre.expand_as(x), reduction="none").mean(axes)
    mean = mean.squeeze(axes)
    return mean, square - (mean - mean.detach()).square()


def wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _with_next(mean: Tensor, variance: Tensor, axis: int) -> Moments:
    """Moments of each place of ``(N, C, h, w)`` together with the one before and the one behind it along an axis."""
    size, around = mean.shape[axis], (1, 1) if axis == 3 else (0, 0, 1, 1)
    padded, there = F.pad(mean, around), F.pad(torch.ones_like(mean[:1, :1]), around)
    before, after = (
        (padded.narrow(axis, start, size) - mean) * there.narrow(axis, start, size) for start in (0, 2)
    )  # 0 where there is no neighbour
    count = 1 + there.narrow(axis, 0, size) + there.narrow(axis, 2, size)
    shift = (before + after) / count
    spread = (before.square() + after.square()) / count - shift.square()
    window, padding = ((1, 3), (0, 1)) if axis == 3 else ((3, 1), (1, 0))
    within = F.avg_pool2d(variance, window, stride=1, padding=padding, count_include_pad=False)
    return mean + shift, within + spread


class Readout:
    """From statistics to features: standardised, one to three layers, the first of which takes the standardising in.

    Args:
        tensors: with ``visual.statistics.{mean,scale}`` (S,), ``visual.proj.{weight,bias}`` (D, S) and, for two layers
            with a ReLU between, ``visual.hidden.{weight,bias}`` (K, S); S holds all means, then all log deviations.
            Where the hidden units ask little of so many statistics, ``visual.answers.{weight,bias}`` (R, S) come before
            them, with nothing between, and hidden is (K, R).
        device: where to compute.
        dtype: fp32 or float64.
    """

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype):
        self.layers: list[tuple[Tensor, Tensor, bool]] = []  # weight, bias, whether a ReLU comes before
        for name in ("answers", "hidden", "proj"):
            if f"visual.{name}.weight" not in tensors:
                continue
            weight, bias = (tensors[f"visual.{name}.{part}"].double() for part in ("weight", "bias"))
            if not self.layers:
                weight = weight / tensors["visual.statistics.scale"].double()
                bias = bias - weight @ tensors["visual.statistics.mean"].double()
            self.layers.append((weight.to(device, dtype), bias.to(device, dtype), bool(self.layers) and name == "proj"))

    def __call__(self, statistics: Tensor) -> Tensor:
        """Statistics ``(N, S)`` to features ``(N, D)``, or those of places, ``(N, S, h, w)`` to ``(N, D, h, w)``."""
        x = statistics.movedim(1, -1)
        for weight, bias, after_relu in self.layers:
            x = F.linear(x.relu() if after_relu else x, weight, bias)
        return x.movedim(-1, 1)
