"""Signs of ReLU outputs, one bit each: all that the gradient of a frozen ReLU network needs."""

from functools import cache

import torch
from torch import Tensor

Tape = list[Tensor]
"""Signs of ReLU outputs, packed by :func:`pack_signs`, in the order of the forward pass."""

_GATHER = 0x0102040810204080  # multiplied by eight bytes of 0 or 1, it gives their bits in the highest byte
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the size of a number in bytes


def pack_signs(y: Tensor) -> Tensor:
    """Return bits ``(N, C / 8, H, W)``, 1 where ReLU outputs ``(N, C, H, W)`` are positive."""
    flags = y.bool().permute(0, 2, 3, 1).contiguous()  # y is never negative; bool() is faster than y > 0
    bits = flags.reshape(-1).view(torch.int64) * _GATHER >> 56  # flattened: axes of length 1 may have any stride
    return bits.to(torch.uint8).view(*flags.shape[:-1], -1).permute(0, 3, 1, 2)


def zero_where_not_positive(grad: Tensor, signs: Tensor) -> Tensor:
    """Set ``grad`` to zero, in place, where the ReLU output was not positive; return ``grad``."""
    packed = signs.permute(0, 2, 3, 1)  # (N, H, W, C / 8)
    masks = _spread_table(grad.device).index_select(0, packed.reshape(-1).int()).view(torch.int8)
    masks = masks.view(*packed.shape[:3], -1).permute(0, 3, 1, 2)  # 0: no bit is set; -1: all bits are set
    grad.view(_INTEGERS[grad.element_size()]).bitwise_and_(masks)  # faster than multiplication, above all in bf16
    return grad


@cache
def _spread_table(device: torch.device) -> Tensor:
    """Return, for each byte, its eight bits as int8 of 0 or -1, packed into one int64."""
    with torch.inference_mode(False):
        bits = torch.arange(256, device=device)[:, None] >> torch.arange(8, device=device) & 1  # (256, 8)
        return bits.to(torch.int8).neg().view(torch.int64)[:, 0]
