"""Arithmetic that keeps precision, and gradients where torch's own operations lose them."""

import torch
from torch import Tensor

from .tracing import is_traced


def at_least_fp32(x: Tensor) -> Tensor:
    """Return a tensor in fp32; float64 stays."""
    return x if x.dtype == torch.float64 else x.float()


def exact(x: Tensor) -> Tensor:
    """Return a tensor in float64, so that a result, rounded once, does not depend on the size of the batch.

    Apple's GPUs have no float64, and a traced network needs none: there the tensor keeps its dtype.
    """
    return x if x.device.type == "mps" or is_traced() else x.double()


def clamped(x: Tensor, low: float, high: float) -> Tensor:
    """Return ``x.clamp(low, high)``, with a gradient also at the limits, where torch 2.15 gives none."""
    return x.masked_fill(x < low, low).masked_fill(x > high, high)


def sigmoid(x: Tensor) -> Tensor:
    """Return the sigmoid, with a gradient even where the value rounds to 1."""
    # torch computes the gradient from the value y as y (1 - y), so use the side where y is small
    return torch.where(x > 0, 1 - (-x).sigmoid(), x.sigmoid())
