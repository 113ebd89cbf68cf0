"""Frozen convolutions, computed from packed weights if no gradient is needed, and strips of rows of a large image."""

from collections.abc import Hashable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .gradient import is_traced, needs_gradient, untraced

_ops: Any = torch.ops.mkldnn  # whose names are private

_HAS_ONEDNN = hasattr(_ops, "_get_mkldnn_serialized_md") and torch.backends.cpu.get_cpu_capability().startswith("AVX")
_ONEDNN_FROM = 20480  # numbers in the map of one image; for smaller maps torch does not use oneDNN


class Convolution:
    """A frozen convolution of ``(N, C, H, W)`` and its activation; depthwise if its weight has one input channel.

    Scoring in fp32 or bf16 on a CPU keeps only the weight in oneDNN's order. A gradient or trace restores the plain
    weight, bit for bit, and keeps it.
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, activation: str):
        self._shape, self.kernel = weight.shape, weight.shape[-1]
        self.padding, self.out_channels = self.kernel // 2, weight.shape[0]
        self.groups = self.out_channels if weight.shape[1] == 1 else 1
        self.bias, self.stride, self.activation = bias, stride, activation
        self._plain: Tensor | None = weight.contiguous(memory_format=torch.channels_last)
        self._packed: Any = None
        self._order = b""  # how the packed numbers lie in memory
        self._fits: set[Hashable] = set()  # the maps for which oneDNN wants this order

    @property
    def weight(self) -> Tensor:
        """The plain weight ``(O, I / groups, k, k)``."""
        weight = self._plain
        if weight is None:
            with untraced():
                weight = self._plain = self._unpacked().contiguous(memory_format=torch.channels_last)
        return weight

    def __call__(self, x: Tensor, pad_rows: bool = True, plain: bool = False, onto: Tensor | None = None) -> Tensor:
        """Return the activated output, computed from packed weights if possible.

        Args:
            pad_rows: add rows of zeros at the top and bottom.
            plain: use the plain weights, which the caller needs for the gradient.
            onto: a map to which the output is added in place; the sum passes a ReLU.
        """
        padding = self.padding if pad_rows else 0, self.padding
        # operations on packed weights have no derivative and trace badly
        if plain or not x.is_cpu or x.dtype == torch.float64 or needs_gradient(x) or is_traced() or not _HAS_ONEDNN:
            dilation = idle_dilation(x, self.kernel)
            y = F.conv2d(x, self.weight, self.bias, self.stride, padding, dilation, self.groups)
            if onto is not None:
                return onto.add_(y).relu_()
            activate = getattr(F, self.activation, None)
            return activate(y, inplace=not (y.requires_grad or is_traced())) if activate else y
        fused = ("hardtanh", [0.0, 6.0], "") if self.activation == "relu6" else (self.activation, [], "")
        if self.kernel == 1 and onto is None:
            rows = x.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
            y = _ops._linear_pointwise.default(rows, self._weight_for(None), self.bias, *fused)
            return y.permute(0, 3, 1, 2)
        geometry = padding, (self.stride, self.stride), (1, 1), self.groups
        weight = self._weight_for((*geometry, x.shape))
        if onto is not None:
            return _ops._convolution_pointwise_.binary(
                onto, x, weight, self.bias, *geometry, "add", 1.0, "relu", [], ""
            )
        return _ops._convolution_pointwise.default(x, weight, self.bias, *geometry, *fused)

    def pull_back(self, grad: Tensor, surplus: tuple[int, int] = (0, 0)) -> Tensor:
        """Return the input's gradient from that of the output before its activation.

        ``surplus``: the input's rows and columns beyond those of the transposed convolution; only stride 2 leaves some.
        """
        dilation = idle_dilation(grad, self.kernel)
        return F.conv_transpose2d(grad, self.weight, None, self.stride, self.padding, surplus, 1, dilation)

    def _weight_for(self, geometry: Any) -> Tensor:
        """Return the packed weight for this geometry of a map; None for a linear layer."""
        key = geometry and (geometry, torch.get_num_threads())
        if key not in self._fits:
            with untraced():
                weight = self._unpacked() if (plain := self._plain) is None else plain
                if geometry is None:
                    weight = _ops._reorder_linear_weight(weight[:, :, 0, 0])
                else:
                    weight = torch._C._nn.mkldnn_reorder_conv2d_weight(weight.contiguous().to_mkldnn(), *geometry)
                order = bytes(_ops._get_mkldnn_serialized_md(weight).tolist())
            if order != self._order:
                self._packed, self._order, self._fits, self._plain = weight, order, set(), None
            self._fits.add(key)
        return self._packed

    def _unpacked(self) -> Tensor:
        return self._packed.to_dense().view(self._shape)


def idle_dilation(x: Tensor, kernel: int) -> int:
    """Return 2 for a 1×1 kernel that torch computes faster if dilated, else 1."""
    if kernel > 1 or x.dtype != torch.float32 or x.device.type != "cpu" or torch.get_num_threads() > 1:
        return 1
    return 2 if _HAS_ONEDNN and not is_traced() and (len(x) > 1 or x.numel() > _ONEDNN_FROM) else 1


CPU_STRIP_BYTES = 8 << 20
"""Approximate size of a strip of the widest map."""


class RowMap:
    """A map with ``rows`` rows, filled with strips from the top."""

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


def cut(x: Tensor, rows: int, row_size: int, most: int = 1) -> list[tuple[int, int]]:
    """Return the rows ``(start, stop)`` of each strip; only a single large image on a CPU is cut.

    ``row_size`` is how many numbers a row of the widest map has; a map of at most ``most`` strips stays whole.
    """
    count, size = 1, rows * row_size * x.element_size() / CPU_STRIP_BYTES
    if x.device.type == "cpu" and x.shape[0] == 1 and size > most:
        count = max(1, min(rows // 2, round(size)))
    return list(pairwise(rows * i // count for i in range(count + 1)))


def crop(x: Tensor, start: int, stop: int | None, left: int = 0) -> Tensor:
    """Return ``x[:, :, start:stop, left:]``, with zeros beyond the edges, and a gradient in the memory format of x."""
    below = 0 if stop is None else stop - x.shape[2]
    if (start, below, left) == (0, 0, 0):
        return x
    if max(-start, below) <= 0 and (is_traced() or not x.requires_grad):
        return x[:, :, start:stop, left:]
    return F.pad(x, (-left, 0, -start, below))
