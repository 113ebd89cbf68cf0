"""Frozen convolutions, and their gradient from the signs of ReLU outputs."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .convolution import Convolution, idle_dilation
from .device import FrozenTensors

Tape = list[Tensor]
"""Signs of ReLU outputs, packed by :func:`pack_signs`, in the order of the forward pass."""

_GATHER = 0x0102040810204080  # multiplied by eight bytes of 0 or 1, it gives their bits in the highest byte
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}

BATCH_NORM_EPS = 1e-5  # torch's default, with which every CLIP ResNet was trained


class FrozenConv(Convolution):
    """A frozen convolution; BatchNorm is folded into it in float64, and the result is rounded."""

    def __init__(self, tensors: FrozenTensors, conv: str, norm: str, stride: int = 1, activation: str = "relu"):
        gamma, beta, mean, variance = (  # folded on the CPU, since not every device has float64
            tensors.raw[f"{norm}.{name}"].double() for name in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / (variance + BATCH_NORM_EPS).sqrt()
        weight = tensors.rounded(tensors.raw[f"{conv}.weight"].double() * scale[:, None, None, None])
        super().__init__(weight, tensors.rounded(beta - mean * scale), stride, activation=activation)
        self.padding = self.kernel // 2 if stride < self.kernel else 0

    def __call__(self, x: Tensor, pad_rows: bool = True, plain: bool = False, onto: Tensor | None = None) -> Tensor:
        return self.convolve(x, (self.padding if pad_rows else 0, self.padding), plain, onto)

    def pull_back(self, grad: Tensor, size: tuple[int, int]) -> Tensor:
        surplus = [
            full - ((part - 1) * self.stride - 2 * self.padding + self.kernel)
            for full, part in zip(size, grad.shape[-2:], strict=True)
        ]
        dilation = idle_dilation(grad, self.kernel)
        return F.conv_transpose2d(grad, self.weight, None, self.stride, self.padding, surplus, 1, dilation)


def avg_pool(x: Tensor, stride: int) -> Tensor:
    return F.avg_pool2d(x, stride) if stride > 1 else x


def pull_back_avg_pool(grad: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    if stride == 1:
        return grad
    grad = F.interpolate(grad / stride**2, scale_factor=stride, mode="nearest")
    rows, columns = size[0] - grad.shape[-2], size[1] - grad.shape[-1]
    return F.pad(grad, (0, columns, 0, rows)) if rows or columns else grad


def pack_signs(y: Tensor) -> Tensor:
    """Return bits ``(N, C / 8, H, W)``, 1 where ReLU outputs ``(N, C, H, W)`` are positive."""
    flags = y.bool().permute(0, 2, 3, 1).contiguous()  # y is never negative; bool() is faster than y > 0
    return _gather_bits(flags).permute(0, 3, 1, 2)


def keep_positive(grad: Tensor, signs: Tensor) -> Tensor:
    """Set ``grad`` to zero, in place, where the ReLU output was not positive."""
    packed = signs.permute(0, 2, 3, 1)  # (N, H, W, C / 8)
    masks = _spread_table(grad.device).index_select(0, packed.reshape(-1).int()).view(torch.int8)
    masks = masks.view(*packed.shape[:3], -1).permute(0, 3, 1, 2)  # 0: no bit is set; -1: all bits are set
    grad.view(_INTEGERS[grad.element_size()]).bitwise_and_(masks)  # faster than multiplication, above all in bf16
    return grad


def _gather_bits(flags: Tensor) -> Tensor:
    bits = flags.reshape(-1).view(torch.int64) * _GATHER >> 56  # flattened: axes of length 1 may have any stride
    return bits.to(torch.uint8).view(*flags.shape[:-1], -1)


@cache
def _spread_table(device: torch.device) -> Tensor:
    """Return, for each byte, its eight bits as int8 of 0 or -1, packed into one int64."""
    with torch.inference_mode(False):
        numbers = torch.arange(256, device=device)
        flags = (numbers[:, None] >> torch.arange(8, device=device)).bitwise_and(1).bool()  # (256, 8)
        table = torch.empty(256, dtype=torch.int64, device=device)
        table[_gather_bits(flags)[:, 0].long()] = flags.to(torch.int8).neg().view(torch.int64)[:, 0]
        return table
