"""Features from channel statistics, by one to three linear layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .device import FrozenTensors
from .gradient import is_traced, recomputed

Moments = tuple[Tensor, Tensor]
"""Mean and variance of every channel: ``(N, C)`` of images, ``(N, C, h, w)`` of places; fp32 or wider."""


def of_image(x: Tensor, side: int, grid: tuple[int, int]) -> Moments:
    return _moments(wide(x), (2, 3))


def of_places(x: Tensor, side: int, grid: tuple[int, int]) -> Moments:
    """Return the moments of each cell of maps ``(N, C, H, W)``; ``side`` is a cell's side in pixels of the maps."""
    x = wide(x[:, :, : grid[0] * side, : grid[1] * side])
    if side == 1:
        return x, torch.zeros_like(x)
    return _moments(x.unflatten(3, (grid[1], side)).unflatten(2, (grid[0], side)), (3, 5))


def with_neighbours(mean: Tensor, variance: Tensor) -> Moments:
    for axis in (3, 2):
        mean, variance = recomputed(_with_next, mean, variance, axis)
    return mean, variance


def _moments(x: Tensor, axes: tuple[int, int]) -> Moments:
    mean = x.mean(axes, keepdim=True)
    centre = mean.detach()  # differences are taken from this constant
    square = F.mse_loss(x, centre.expand_as(x), reduction="none").mean(axes)
    mean = mean.squeeze(axes)
    return mean, square - (mean - mean.detach()).square() if mean.requires_grad or is_traced() else square


def wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _with_next(mean: Tensor, variance: Tensor, axis: int) -> Moments:
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
    """Linear layers from statistics to features.

    ``visual.statistics.{mean,scale}`` (S,) normalise statistics: all means, then all log deviations. The layers are
    ``visual.answers`` (R, S), ``visual.hidden`` (K, R), a ReLU and ``visual.proj`` (D, K); the first two are optional.
    """

    def __init__(self, tensors: FrozenTensors):
        self.layers: list[tuple[Tensor, Tensor, bool]] = []  # weight, bias, whether a ReLU comes before
        for name in ("answers", "hidden", "proj"):
            if f"visual.{name}.weight" not in tensors.raw:
                continue
            weight, bias = (tensors.raw[f"visual.{name}.{part}"].double() for part in ("weight", "bias"))
            if not self.layers:
                weight = weight / tensors.raw["visual.statistics.scale"].double()
                bias = bias - weight @ tensors.raw["visual.statistics.mean"].double()
            weight, bias = (layer.to(tensors.device, tensors.wide) for layer in (weight, bias))
            self.layers.append((weight, bias, bool(self.layers) and name == "proj"))

    def __call__(self, statistics: Tensor) -> Tensor:
        if not is_traced() and len(statistics) > 1 and statistics.device.type == "cpu":
            return torch.cat([self(image) for image in statistics.split(1)])  # sums depend on the number of rows
        x = statistics.movedim(1, -1)
        for weight, bias, after_relu in self.layers:
            x = F.linear(x.relu() if after_relu else x, weight, bias)
        return x.movedim(-1, 1)
