"""Frozen convolutions: on a CPU, 1×1 ones are matrix products, and others keep their weights in oneDNN's order.

A matrix product needs no kernel for each new size, and a weight in oneDNN's order (packed) is not reordered in every
call. docs/performance.md says what each saves.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .gradient import is_traced, needs_gradient

_ACTIVATIONS: dict[str, Callable[..., Tensor]] = {"relu": F.relu, "relu6": F.relu6}

_FUSED: dict[str, tuple[Any, ...]] = {  # activation -> how oneDNN applies it to the output of a convolution
    "none": ("none", [], ""),
    "relu": ("relu", [], ""),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
}


class Convolution:
    """A frozen convolution of ``(N, C, H, W)`` and its activation; depthwise if its weight has one input channel.

    Args:
        weight: ``(O, I / groups, k, k)``.
        bias: ``(O,)``.
        activation: ``'none'``, ``'relu'`` or ``'relu6'``.
        padding: rows and columns of zeros on each side; by default those that keep the size at stride 1.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, stride: int = 1, activation: str = "none", padding: int | None = None
    ):
        self.kernel = weight.shape[-1]
        self.out_channels = len(weight)
        self.bias = bias
        self.stride = stride
        self.activation = activation
        self.padding = self.kernel // 2 if padding is None else padding
        self.groups = len(weight) if weight.shape[1] == 1 else 1
        self._matrix: Tensor | None = None
        self._packed: Tensor | None = None
        if self.kernel == 1 and weight.is_cpu:
            self._matrix = weight[:, :, 0, 0].t().contiguous()  # (I, O)
            self.weight = self._matrix.t()[:, :, None, None]
        else:
            self.weight = weight.contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor) -> Tensor:
        if is_traced() or needs_gradient(x):
            return self._differentiable(x)
        if self._matrix is not None:
            return self._product(x, self._matrix)
        if x.is_cpu and packs(x.dtype):
            return self._packed_output(x)
        return self._differentiable(x)

    def plus(self, x: Tensor, identity: Tensor) -> Tensor:
        """Return the ReLU of a 1×1 convolution and ``identity``, ``(N, O, H, W)``; without a gradient, in its place."""
        if is_traced() or needs_gradient(x) or self._matrix is None:
            return (self._differentiable(x) + identity).relu()
        rows = x.permute(0, 2, 3, 1).flatten(1, 2)
        sums = identity.permute(0, 2, 3, 1).view(len(x), -1, self.out_channels)
        sums.add_(self.bias)
        for image, out in zip(rows, sums, strict=True):
            out.addmm_(image, self._matrix)
        return identity.relu_()

    def _differentiable(self, x: Tensor) -> Tensor:
        if self._matrix is not None and not is_traced():
            rows = x.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
            y = torch.addmm(self.bias, rows.flatten(0, 2), self._matrix)
            y = y.view(*rows.shape[:3], -1).permute(0, 3, 1, 2)
        else:
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
        return self._activated(y)

    def _product(self, x: Tensor, matrix: Tensor) -> Tensor:
        """Return the output as a product of a matrix with the rows of each image; sums depend on the number of rows."""
        count, _, height, width = x.shape
        y = x.new_empty(count, height * width, self.out_channels)
        for image, out in zip(x.permute(0, 2, 3, 1).flatten(1, 2), y, strict=True):  # (HW, C) and (HW, O)
            torch.mm(image, matrix, out=out)
        y.add_(self.bias)
        return self._activated(y).view(count, height, width, -1).permute(0, 3, 1, 2)

    def _activated(self, y: Tensor) -> Tensor:
        # neither a sum nor a product needs its output for a gradient, so it may be overwritten
        return y if self.activation == "none" else _ACTIVATIONS[self.activation](y, inplace=not is_traced())

    def _packed_output(self, x: Tensor) -> Tensor:
        geometry = (self.padding,) * 2, (self.stride,) * 2, (1, 1), self.groups
        if self._packed is None:
            self._packed = _packed(self.weight, geometry, x.shape)
        fused = _FUSED[self.activation]
        return torch.ops.mkldnn._convolution_pointwise.default(x, self._packed, self.bias, *geometry, *fused)


def _packed(weight: Tensor, geometry: tuple[Any, ...], shape: torch.Size) -> Tensor:
    """Return a weight in the order that oneDNN wants for maps of this shape; for others, oneDNN reorders it again."""
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
    return reorder(weight.contiguous().to_mkldnn(), *geometry, shape)


@cache
def packs(dtype: torch.dtype) -> bool:
    """Return whether this machine's torch computes rightly with packed weights: one trial, as the names are private."""
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    weight = (torch.arange(8 * 8 * 9) * 7919 % 127 - 63).view(8, 8, 3, 3) / 128  # bf16 holds these without rounding
    pixels = (torch.arange(8 * 30) * 6997 % 127 - 63).view(1, 8, 6, 5) / 128
    geometry = (1, 1), (1, 1), (1, 1), 1
    expected = F.conv2d(pixels, weight, None, 1, 1).relu()
    try:
        packed = _packed(weight.to(dtype), geometry, pixels.shape)
        x = pixels.to(dtype).contiguous(memory_format=torch.channels_last)
        bias = torch.zeros(8, dtype=dtype)
        y = torch.ops.mkldnn._convolution_pointwise.default(x, packed, bias, *geometry, *_FUSED["relu"])
        return torch.allclose(y.float(), expected, rtol=0.02, atol=0.02)
    except Exception:  # what a missing or changed function raises is not known; plain convolutions are right
        return False
