"""Mean and spread of the channels of feature maps: of whole maps, of places, and of places with their neighbours."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .arithmetic import at_least_fp32
from .tracing import is_traced, is_transformed

Moments = tuple[Tensor, Tensor]
"""Mean and variance of every channel: ``(N, C)`` of images, ``(N, C, h, w)`` of places; fp32 or wider."""


def moments_of_places(x: Tensor, side: int, grid: tuple[int, int]) -> Moments:
    """Return the moments of each cell of maps ``(N, C, H, W)``; ``side`` is a cell's side in pixels of the maps."""
    x = at_least_fp32(x[:, :, : grid[0] * side, : grid[1] * side])
    if side == 1:
        return x, torch.zeros_like(x)
    return channel_moments(x.unflatten(3, (grid[1], side)).unflatten(2, (grid[0], side)), (3, 5))


def channel_moments(x: Tensor, axes: tuple[int, int]) -> Moments:
    """Return the mean and variance over these axes, which the result does not have."""
    mean = x.mean(axes, keepdim=True)
    centre = mean.detach()  # differences are taken from this constant
    reference = centre.expand_as(x) if is_transformed() else centre  # vmap does not broadcast what mse_loss takes
    square = torch.ops.aten.mse_loss(x, reference, 0).mean(axes)  # F.mse_loss takes 7 µs more
    mean = mean.squeeze(axes)
    if mean.requires_grad or is_traced():
        square = square - (mean - mean.detach()).square()  # 0, but its second derivative is not
    return mean, square


def moments_with_neighbours(mean: Tensor, variance: Tensor, axis: int) -> Moments:
    """Return the moments of each cell together with the cells before and after it.

    The variance of up to three cells is the mean of their variances plus the variance of their means.
    """
    size = mean.shape[axis]
    around = (1, 1) if axis == 3 else (0, 0, 1, 1)
    padded = F.pad(mean, around)
    is_cell = F.pad(torch.ones_like(mean[:1, :1]), around)
    has_before = is_cell.narrow(axis, 0, size)
    has_after = is_cell.narrow(axis, 2, size)
    count = 1 + has_before + has_after
    # differences from the cell's own mean, 0 where there is no neighbour
    before = (padded.narrow(axis, 0, size) - mean) * has_before
    after = (padded.narrow(axis, 2, size) - mean) * has_after
    shift = (before + after) / count
    variance_of_means = (before.square() + after.square()) / count - shift.square()
    window, padding = ((1, 3), (0, 1)) if axis == 3 else ((3, 1), (1, 0))
    mean_of_variances = F.avg_pool2d(variance, window, stride=1, padding=padding, count_include_pad=False)
    return mean + shift, mean_of_variances + variance_of_means


def means_and_deviations(x: Tensor) -> Tensor:
    """Return the mean and standard deviation of ``(N, C, L)`` over L: ``(N, 2 C)``."""
    mean = x.mean(2)
    deviation = ((x - mean[..., None]).square().mean(2) + 1e-12).sqrt()  # 1e-12 keeps gradients of constant maps finite
    return torch.cat([mean, deviation], dim=1)
