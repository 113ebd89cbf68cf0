"""Frozen convolutions, computed from weights in oneDNN's order (packed) if no gradient is needed."""

import math
import threading
from collections.abc import Hashable
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..logger import log
from ..text import reason_of
from .gradient import needs_gradient
from .tracing import is_traced, untraced

_ops: Any = torch.ops.mkldnn  # whose names are private: see `packing_failure`

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX")
_ONEDNN_FROM = 20480  # numbers in the map of one image; for smaller maps torch does not use oneDNN


class Packing(NamedTuple):
    """A weight in oneDNN's order."""

    weight: Tensor
    order: bytes  # how the packed numbers lie in memory
    fits: set[Hashable]  # the maps for which oneDNN wants this order


class Convolution:
    """A frozen convolution of ``(N, C, H, W)`` and its activation; depthwise if its weight has one input channel.

    Scoring in fp32 or bf16 on a CPU keeps only the packed weight. A gradient or trace unpacks it, bit for bit, and
    keeps it unpacked. Threads share a convolution.
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, activation: str, padding: int | None = None):
        """``padding``: rows and columns of zeros on each side; by default those that keep the size at stride 1."""
        self._shape = weight.shape
        self.kernel = weight.shape[-1]
        self.padding = self.kernel // 2 if padding is None else padding
        self.out_channels = weight.shape[0]
        self.groups = self.out_channels if weight.shape[1] == 1 else 1
        self.bias, self.stride, self.activation = bias, stride, activation
        self._unpacked: Tensor | None = weight.contiguous(memory_format=torch.channels_last)
        self._packing: Packing | None = None  # if None, the weight is unpacked
        self._lock = threading.Lock()  # of whoever packs

    @property
    def weight(self) -> Tensor:
        """The weight ``(O, I / groups, k, k)``, not packed."""
        weight = self._unpacked
        if weight is None:
            with untraced():
                weight = self._weight_from_packing().contiguous(memory_format=torch.channels_last)
                self._unpacked = weight
        return weight

    def __call__(
        self, x: Tensor, has_padded_rows: bool = True, can_pack: bool = True, onto: Tensor | None = None
    ) -> Tensor:
        """Return the activated output, computed from packed weights if possible.

        Args:
            has_padded_rows: add rows of zeros at the top and bottom.
            can_pack: whether weights may be packed; the caller does not need them unpacked for the gradient.
            onto: a map to which the output is added in place; the sum passes a ReLU.
        """
        padding = self.padding if has_padded_rows else 0, self.padding
        # operations on packed weights have no derivative and trace badly
        is_differentiated = needs_gradient(x) or is_traced()
        if (
            can_pack
            and x.is_cpu
            and x.dtype != torch.float64
            and not is_differentiated
            and not packing_failure(x.dtype)
        ):
            return self.packed_output(x, padding, onto)
        return self.unpacked_output(x, padding, onto)

    def unpacked_output(self, x: Tensor, padding: tuple[int, int], onto: Tensor | None = None) -> Tensor:
        dilation = idle_dilation(x, self.kernel)
        y = F.conv2d(x, self.weight, self.bias, self.stride, padding, dilation, self.groups)
        if onto is not None:
            return onto.add_(y).relu_()
        if self.activation == "none":
            return y
        activate = getattr(F, self.activation)  # relu or relu6
        return activate(y, inplace=not (y.requires_grad or is_traced()))

    def packed_output(self, x: Tensor, padding: tuple[int, int], onto: Tensor | None = None) -> Tensor:
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
        """Return the weight in the order for this geometry of a map, packed now if it has another; None: linear."""
        # the order for a convolution also depends on the number of threads
        key = None if geometry is None else (geometry, torch.get_num_threads())
        packing = self._packing
        if packing is not None and key in packing.fits:
            return packing.weight
        with self._lock:
            packing = self._packing  # another thread may have packed it meanwhile
            if packing is None or key not in packing.fits:
                packing = self._pack(geometry, packing)
                packing.fits.add(key)
            return packing.weight

    def _pack(self, geometry: Any, before: Packing | None) -> Packing:
        """Return the weight in the order for this geometry, which replaces any other form of the weight."""
        with untraced():
            weight = self._weight_from_packing() if self._unpacked is None else self._unpacked
            if geometry is None:
                weight = _ops._reorder_linear_weight(weight[:, :, 0, 0])
            else:
                weight = torch._C._nn.mkldnn_reorder_conv2d_weight(weight.contiguous().to_mkldnn(), *geometry)
            order = bytes(_ops._get_mkldnn_serialized_md(weight).tolist())
        if before is not None and before.order == order:
            return before
        packing = Packing(weight, order, set())
        self._packing = packing
        self._unpacked = None  # only now, since other threads read one of the two
        return packing

    def _weight_from_packing(self) -> Tensor:
        assert self._packing is not None
        return self._packing.weight.to_dense().view(self._shape)


@cache
def packing_failure(dtype: torch.dtype) -> str:
    """Return why weights of this dtype are not packed on this machine; empty if they are.

    The first call tries each kind of convolution: torch may lack or change the private functions that pack.
    """
    if not _HAS_ONEDNN:
        return "there is no oneDNN for this processor"
    try:
        with untraced():
            for kernel, inputs, activation in ((3, 8, "relu"), (3, 1, "relu6"), (1, 8, "relu6"), (1, 8, "none")):
                _check_packing(_pattern(8, inputs, kernel, kernel).to(dtype), activation)
    except Exception as error:  # what a missing or changed function raises is not known
        return reason_of(error)[:200]
    return ""


@cache
def warn_of_packing_failure(device: torch.device, dtype: torch.dtype) -> None:
    """Log, once, that torch does not pack a tower's weights as expected."""
    if device.type != "cpu" or dtype == torch.float64 or not _HAS_ONEDNN:
        return  # nothing is expected
    failure = packing_failure(dtype)
    if failure:
        log.warning(
            f"torch {torch.__version__} does not compute with packed weights of {dtype} as expected "
            f"({failure}), so scores on the CPU take longer."
        )


def _check_packing(weight: Tensor, activation: str) -> None:
    """Raise unless a convolution gives the right output with packed weights, and gets its weight back."""
    dtype = weight.dtype
    bias = _pattern(8)
    pixels = _pattern(2, 8, 6, 5).contiguous(memory_format=torch.channels_last)
    conv = Convolution(weight, bias.to(dtype), 1, activation)
    exact = Convolution(weight.double(), bias.double(), 1, activation)  # which oneDNN does not compute
    x = pixels.to(dtype)
    padding = (conv.padding, conv.padding)
    packed = [conv.packed_output(x, padding)]
    right = [exact.unpacked_output(pixels.double(), padding)]
    if activation == "none":
        packed.append(conv.packed_output(x, padding, x.clone()))
        right.append(exact.unpacked_output(pixels.double(), padding, pixels.double()))
    tolerance = 1e-4 if dtype == torch.float32 else 0.05  # bf16 has eight bits; outputs are below 4
    for ours, theirs in zip(packed, right, strict=True):
        if ours.shape != theirs.shape or not torch.allclose(ours.double(), theirs, tolerance, tolerance):
            raise ValueError("the output differs")
    if not torch.equal(conv.weight, weight):
        raise ValueError("the weight came back changed")


def _pattern(*shape: int) -> Tensor:
    """Return numbers from -0.5 to 0.5 in no simple order; bf16 holds them without rounding."""
    count = math.prod(shape)
    return ((torch.arange(count) * 7919 % 127 - 63) / 128).view(shape)


def idle_dilation(x: Tensor, kernel: int) -> int:
    """Return 2 for a 1×1 kernel that torch computes faster if dilated, else 1."""
    if kernel > 1 or x.dtype != torch.float32 or x.device.type != "cpu" or torch.get_num_threads() > 1:
        return 1
    return 2 if _HAS_ONEDNN and not is_traced() and (len(x) > 1 or x.numel() > _ONEDNN_FROM) else 1
