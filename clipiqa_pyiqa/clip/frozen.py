"""Frozen convolutions: BatchNorm folded into the convolution before it, and a gradient that needs only signs.

A frozen network with ReLUs is piecewise linear. Once the sign of every ReLU's output is known, its Jacobian is known,
so the gradient with respect to the *input* needs no activations and no weight gradients. The layers below therefore
come as pairs: a forward that may record signs on a tape, and a ``pull_back`` that maps an output gradient to the input
gradient, in the reverse order, from that tape.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .device import rounded
from .gradient import is_traced

Tape = list[Tensor]
"""Signs of ReLU outputs, packed by :func:`pack_signs`, in the order in which the forward met them."""

_GATHER = 0x0102040810204080  # multiplied with eight bytes of 0 or 1, it leaves those eight bits in the highest byte
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}

_HAS_ONEDNN = torch.backends.mkldnn.is_available()
_ONEDNN_FROM = 20480  # numbers in one image's map: torch gives smaller ones to no library

BATCH_NORM_EPS = 1e-5  # torch's default, with which every CLIP ResNet was trained


class FrozenConv:
    """A convolution without trainable weights, its BatchNorm (if any) folded in.

    Args:
        tensors: state dict with ``{conv}.weight`` and, where ``norm`` is given, that BatchNorm's four tensors.
        conv: name of the convolution.
        norm: name of the BatchNorm that follows it, or ``None``.
        device: where the folded weights live.
        dtype: what they are rounded to; folding itself is done in float64, so that it adds no rounding of its own.
        stride: of the convolution.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        conv: str,
        norm: str | None,
        device: torch.device,
        dtype: torch.dtype,
        stride: int = 1,
    ):
        weight = tensors[f"{conv}.weight"]
        self.bias: Tensor | None = None
        if norm:  # folded where the tensors lie, since not every device has float64
            gamma, beta, mean, variance = (
                tensors[f"{norm}.{name}"].double() for name in ("weight", "bias", "running_mean", "running_var")
            )
            scale = gamma / (variance + BATCH_NORM_EPS).sqrt()
            weight = weight.double() * scale[:, None, None, None]
            self.bias = rounded(beta - mean * scale, dtype, device)
        self.weight = rounded(weight, dtype, device).contiguous(memory_format=torch.channels_last)
        self.stride = stride
        self.padding = self.weight.shape[-1] // 2 if stride < self.weight.shape[-1] else 0

    @property
    def in_channels(self) -> int:
        return self.weight.shape[1]

    @property
    def out_channels(self) -> int:
        return self.weight.shape[0]

    def __call__(self, x: Tensor, pad_rows: bool = True) -> Tensor:
        """Convolve. With ``pad_rows=False`` the caller has supplied the rows above and below."""
        padding = (self.padding if pad_rows else 0, self.padding)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, idle_dilation(x, self.weight))

    def pull_back(self, grad: Tensor, size: tuple[int, int]) -> Tensor:
        """Gradient with respect to the input, whose height and width were ``size``."""
        kernel = self.weight.shape[-1]
        surplus = [
            full - ((part - 1) * self.stride - 2 * self.padding + kernel)
            for full, part in zip(size, grad.shape[-2:], strict=True)
        ]
        dilation = idle_dilation(grad, self.weight)
        return F.conv_transpose2d(grad, self.weight, None, self.stride, self.padding, surplus, 1, dilation)


def idle_dilation(x: Tensor, weight: Tensor) -> int:
    """Dilation to convolve with: 2 for a 1×1 kernel where that leads to a faster library; the result is the same.

    On one thread torch keeps fp32 1×1 convolutions from oneDNN, which is up to twice as fast, unless they are dilated.
    """
    if weight.shape[-1] > 1 or x.dtype != torch.float32 or x.device.type != "cpu" or torch.get_num_threads() > 1:
        return 1
    return 2 if _HAS_ONEDNN and not is_traced() and (len(x) > 1 or x.numel() > _ONEDNN_FROM) else 1


def avg_pool(x: Tensor, stride: int) -> Tensor:
    """Average over ``stride`` × ``stride`` pixels; rows and columns left over are dropped, as CLIP does."""
    return F.avg_pool2d(x, stride) if stride > 1 else x


def pull_back_avg_pool(grad: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Gradient of :func:`avg_pool` with respect to its input, whose height and width were ``size``."""
    if stride == 1:
        return grad
    grad = F.interpolate(grad / stride**2, scale_factor=stride, mode="nearest")
    rows, columns = size[0] - grad.shape[-2], size[1] - grad.shape[-1]
    return F.pad(grad, (0, columns, 0, rows)) if rows or columns else grad


def pack_signs(y: Tensor) -> Tensor:
    """Where a ReLU's output is positive, one bit per element: ``(N, C, H, W)`` to uint8 ``(N, C / 8, H, W)``."""
    flags = y.bool().permute(0, 2, 3, 1).contiguous()  # nonzero is positive here, and found much faster than y > 0
    return _gather_bits(flags).permute(0, 3, 1, 2)


def keep_positive(grad: Tensor, signs: Tensor) -> Tensor:
    """Zero ``grad`` in place where the ReLU's output, whose packed signs are given, was not positive."""
    packed = signs.permute(0, 2, 3, 1)  # (N, H, W, C / 8)
    masks = _spread_table(grad.device).index_select(0, packed.reshape(-1).int()).view(torch.int8)
    masks = masks.view(*packed.shape[:3], -1).permute(0, 3, 1, 2)  # 0, or -1: all bits set
    grad.view(_INTEGERS[grad.element_size()]).bitwise_and_(masks)  # faster than to multiply, most of all in bf16
    return grad


def _gather_bits(flags: Tensor) -> Tensor:
    """Bools ``(…, C)`` to uint8 ``(…, C / 8)``."""
    bits = flags.reshape(-1).view(torch.int64) * _GATHER >> 56  # flat: sides of one pixel may have any stride
    return bits.to(torch.uint8).view(*flags.shape[:-1], -1)


@cache
def _spread_table(device: torch.device) -> Tensor:
    """For each byte that :func:`_gather_bits` makes, its eight bits as eight int8 of 0 or -1, held in one int64."""
    with torch.inference_mode(False):
        numbers = torch.arange(256, device=device)
        flags = (numbers[:, None] >> torch.arange(8, device=device)).bitwise_and(1).bool()  # (256, 8)
        table = torch.empty(256, dtype=torch.int64, device=device)
        table[_gather_bits(flags)[:, 0].long()] = flags.to(torch.int8).neg().view(torch.int64)[:, 0]
        return table
