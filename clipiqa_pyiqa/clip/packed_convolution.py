"""Convolutions from weights in oneDNN's order (packed), which torch can neither differentiate nor trace."""

import threading
from collections.abc import Hashable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .tracing import untraced

_ops: Any = torch.ops.mkldnn  # whose names are private: see `packing_trial`

# Padding, stride, dilation, groups, and the shape of the input; None for a 1×1 convolution as a linear layer.
_Geometry = tuple[Any, ...] | None


class _PackedWeight(NamedTuple):
    """A weight in oneDNN's order."""

    tensor: Tensor
    order: bytes  # how its numbers lie in memory
    fits: set[Hashable]  # the maps for which oneDNN wants this order


class PackedConvolution:
    """A frozen convolution and its activation; it packs its weight at the first call.

    Of the plain and the packed weight, calls keep only the packed one. Reading :attr:`weight` unpacks it, bit for bit,
    and keeps both. Threads share a convolution.
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, groups: int, activation: str):
        self.bias = bias
        self.stride = stride
        self.groups = groups
        self.activation = activation
        self._shape = weight.shape
        self._plain: Tensor | None = weight.contiguous(memory_format=torch.channels_last)
        self._packed: _PackedWeight | None = None  # at least one of the two is there
        self._lock = threading.Lock()  # of whoever packs

    @property
    def weight(self) -> Tensor:
        """The weight ``(O, I / groups, k, k)``, not packed."""
        weight = self._plain
        if weight is None:
            with untraced():
                weight = self._unpacked().contiguous(memory_format=torch.channels_last)
                self._plain = weight
        return weight

    def __call__(self, x: Tensor, padding: tuple[int, int], onto: Tensor | None = None) -> Tensor:
        """Return the activated output; with ``onto``, the output is added to it in place, and the sum passes a ReLU."""
        fused = ("hardtanh", [0.0, 6.0], "") if self.activation == "relu6" else (self.activation, [], "")
        if self._shape[-1] == 1 and onto is None:
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

    def _weight_for(self, geometry: _Geometry) -> Tensor:
        """Return the weight in the order for this geometry, packed now if it has another."""
        # the order for a convolution also depends on the number of threads
        key = None if geometry is None else (geometry, torch.get_num_threads())
        packed = self._packed
        if packed is not None and key in packed.fits:
            return packed.tensor
        with self._lock:
            packed = self._packed  # another thread may have packed it meanwhile
            if packed is None or key not in packed.fits:
                packed = self._pack(geometry)
                packed.fits.add(key)
            return packed.tensor

    def _pack(self, geometry: _Geometry) -> _PackedWeight:
        """Bring the weight into the order for this geometry, unless it has this order, and return it."""
        with untraced():
            plain = self._unpacked() if self._plain is None else self._plain
            if geometry is None:
                tensor = _ops._reorder_linear_weight(plain[:, :, 0, 0])
            else:
                tensor = torch._C._nn.mkldnn_reorder_conv2d_weight(plain.contiguous().to_mkldnn(), *geometry)
            order = bytes(_ops._get_mkldnn_serialized_md(tensor).tolist())
        before = self._packed
        if before is not None and before.order == order:
            return before
        packed = _PackedWeight(tensor, order, set())
        self._packed = packed
        self._plain = None  # only now, since other threads read one of the two
        return packed

    def _unpacked(self) -> Tensor:
        assert self._packed is not None
        return self._packed.tensor.to_dense().view(self._shape)
