"""Frozen convolutions, computed from packed weights if no gradient is needed, and strips of rows of a large image."""

import math
import threading
from collections.abc import Hashable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..logger import log
from ..text import reason
from .gradient import needs_gradient
from .tracing import is_traced, untraced

_ops: Any = torch.ops.mkldnn  # whose names are private: see `are_packed`

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX")
_ONEDNN_FROM = 20480  # numbers in the map of one image; for smaller maps torch does not use oneDNN


class Packing(NamedTuple):
    """A weight in oneDNN's order."""

    weight: Tensor
    order: bytes  # how the packed numbers lie in memory
    fits: set[Hashable]  # the maps for which oneDNN wants this order


class Convolution:
    """A frozen convolution of ``(N, C, H, W)`` and its activation; depthwise if its weight has one input channel.

    Scoring in fp32 or bf16 on a CPU keeps only the weight in oneDNN's order. A gradient or trace restores the plain
    weight, bit for bit, and keeps it. Threads share a convolution.
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, activation: str):
        self._shape = weight.shape
        self.kernel = weight.shape[-1]
        self.padding = self.kernel // 2
        self.out_channels = weight.shape[0]
        self.groups = self.out_channels if weight.shape[1] == 1 else 1
        self.bias, self.stride, self.activation = bias, stride, activation
        self._plain: Tensor | None = weight.contiguous(memory_format=torch.channels_last)
        self._packing: Packing | None = None  # if None, there is a plain weight
        self._lock = threading.Lock()  # of whoever packs

    @property
    def weight(self) -> Tensor:
        """The plain weight ``(O, I / groups, k, k)``."""
        weight = self._plain
        if weight is None:
            with untraced():
                weight = self._unpacked().contiguous(memory_format=torch.channels_last)
                self._plain = weight
        return weight

    def __call__(
        self, x: Tensor, has_padded_rows: bool = True, is_plain: bool = False, onto: Tensor | None = None
    ) -> Tensor:
        """Return the activated output, computed from packed weights if possible.

        Args:
            has_padded_rows: add rows of zeros at the top and bottom.
            is_plain: use the plain weights, which the caller needs for the gradient.
            onto: a map to which the output is added in place; the sum passes a ReLU.
        """
        padding = self.padding if has_padded_rows else 0, self.padding
        # operations on packed weights have no derivative and trace badly
        if is_plain or not x.is_cpu or x.dtype == torch.float64 or needs_gradient(x) or is_traced():
            return self.plain_output(x, padding, onto)
        return self.packed_output(x, padding, onto) if are_packed(x.dtype) else self.plain_output(x, padding, onto)

    def plain_output(self, x: Tensor, padding: tuple[int, int], onto: Tensor | None = None) -> Tensor:
        dilation = idle_dilation(x, self.kernel)
        y = F.conv2d(x, self.weight, self.bias, self.stride, padding, dilation, self.groups)
        if onto is not None:
            return onto.add_(y).relu_()
        activate = getattr(F, self.activation, None)
        return activate(y, inplace=not (y.requires_grad or is_traced())) if activate else y

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
        """Return the packed weight for this geometry of a map; None for a linear layer."""
        key = geometry and (geometry, torch.get_num_threads())
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
            weight = self._unpacked() if self._plain is None else self._plain
            if geometry is None:
                weight = _ops._reorder_linear_weight(weight[:, :, 0, 0])
            else:
                weight = torch._C._nn.mkldnn_reorder_conv2d_weight(weight.contiguous().to_mkldnn(), *geometry)
            order = bytes(_ops._get_mkldnn_serialized_md(weight).tolist())
        if before is not None and before.order == order:
            return before
        packing = Packing(weight, order, set())
        self._packing = packing
        self._plain = None  # only now, since other threads read one of the two
        return packing

    def _unpacked(self) -> Tensor:
        assert self._packing is not None
        return self._packing.weight.to_dense().view(self._shape)


_are_packed: dict[torch.dtype, bool] = {}
_trial_lock = threading.Lock()


def are_packed(dtype: torch.dtype) -> bool:
    """Return whether weights of this dtype are packed on this machine.

    The first call tries it: torch may lack or change the private functions that pack, and then the log says so.
    """
    if dtype not in _are_packed:
        with _trial_lock:
            if dtype not in _are_packed:
                _are_packed[dtype] = _HAS_ONEDNN and _try_all_packings(dtype)
    return _are_packed[dtype]


def _try_all_packings(dtype: torch.dtype) -> bool:
    """Try each kind of convolution and log what goes wrong; return whether nothing does."""
    try:
        with untraced():
            for kernel, inputs, activation in ((3, 8, "relu"), (3, 1, "relu6"), (1, 8, "relu6"), (1, 8, "none")):
                _try_packing(_pattern(8, inputs, kernel, kernel).to(dtype), activation)
    except Exception as error:  # what a missing or changed function raises is not known
        log.warning(
            f"torch {torch.__version__} does not compute with packed weights of {dtype} as expected "
            f"({reason(error)[:200]}), so scores on the CPU take longer."
        )
        return False
    return True


def _try_packing(weight: Tensor, activation: str) -> None:
    """Raise unless a convolution gives the right output with packed weights, and gets its weight back."""
    dtype = weight.dtype
    bias = _pattern(8)
    pixels = _pattern(2, 8, 6, 5).contiguous(memory_format=torch.channels_last)
    conv = Convolution(weight, bias.to(dtype), 1, activation)
    exact = Convolution(weight.double(), bias.double(), 1, activation)  # which oneDNN does not compute
    x = pixels.to(dtype)
    padding = (conv.padding, conv.padding)
    packed = [conv.packed_output(x, padding)]
    right = [exact.plain_output(pixels.double(), padding)]
    if activation == "none":
        packed.append(conv.packed_output(x, padding, x.clone()))
        right.append(exact.plain_output(pixels.double(), padding, pixels.double()))
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
