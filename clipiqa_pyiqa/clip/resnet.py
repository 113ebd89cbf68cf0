"""CLIP's ModifiedResNet for images of any size: the image tower of RN50, RN101, RN50x4, RN50x16 and RN50x64.

Source: Radford et al., ICML 2021, Sec. 2.4 (architecture); Wang et al., AAAI 2023, Sec. 3.1 (positional embedding
removed, so that images go in unresized). Everything after the last ReLU is in :mod:`.attention_pool`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .attention_pool import AttentionPool
from .frozen import FrozenConv, Tape, avg_pool, pull_back_avg_pool

MIN_SIDE = 32
"""Smallest height and width in pixels: the network halves them five times."""

CPU_STRIP_BYTES = 8 << 20
"""On a CPU one large image is worked on in strips of rows of about this size, which stay in its cache. Exact."""


class ModifiedResNet:
    """Frozen image tower: pixels to features, ``(N, 3, H, W)`` to ``(N, D)``, for any H, W of at least 32.

    Args:
        tensors: CLIP state dict with OpenAI's names (``visual.…``); only the image tower's tensors are read.
        device: where to compute.
        dtype: compute dtype of the convolutions.
    """

    min_side = MIN_SIDE

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype):
        self.device, self.dtype = device, dtype
        self.trunk = Trunk(tensors, device, dtype)
        self.pool = AttentionPool(tensors, device, dtype)

    def __call__(self, x: Tensor, pos_embedding: str = "none") -> Tensor:
        """Encode normalised pixels ``(N, 3, H, W)``; returns features ``(N, D)``, not normalised.

        Args:
            x: normalised pixels, of the tower's dtype.
            pos_embedding: ``'none'``, or ``'interpolate'`` (the official code's resize); for CLIP's own 224 px input
                ``'interpolate'`` leaves the embedding as it is.
        """
        needs_grad = torch.is_grad_enabled() and x.requires_grad
        return self.pool(_PiecewiseLinear.apply(x, self.trunk) if needs_grad else self.trunk(x), pos_embedding)


class Trunk:
    """Stem and residual stages: ``(N, 3, H, W)`` to ``(N, C, H // 32, W // 32)``, piecewise linear."""

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype):
        self.stem = Stem(tensors, device, dtype)
        self.blocks = [
            Bottleneck(tensors, f"visual.layer{stage}.{index}", 2 if index == 0 and stage > 1 else 1, device, dtype)
            for stage in (1, 2, 3, 4)
            for index in range(_count_blocks(tensors, stage))
        ]

    def __call__(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        x = self.stem(x.contiguous(memory_format=torch.channels_last), tape)
        for block in self.blocks:
            x = block(x, tape)
        return x

    def pull_back(self, grad: Tensor, tape: Tape, size: tuple[int, int]) -> Tensor:
        """Gradient with respect to pixels of height and width ``size``; consumes the tape."""
        sizes = [self.stem.out_size(size)]
        for block in self.blocks[:-1]:
            sizes.append(block.out_size(sizes[-1]))
        grad = grad.contiguous(memory_format=torch.channels_last)
        for block, in_size in zip(reversed(self.blocks), reversed(sizes), strict=True):
            grad = block.pull_back(grad, tape, in_size)
        return self.stem.pull_back(grad, tape, size)


class Stem:
    """Three 3×3 convolutions, the first of stride 2, and a 2×2 average: a quarter of the height and width."""

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype):
        self.convs = [
            FrozenConv(tensors, f"visual.conv{i}", f"visual.bn{i}", device, dtype, stride=2 if i == 1 else 1)
            for i in (1, 2, 3)
        ]

    @staticmethod
    def out_size(size: tuple[int, int]) -> tuple[int, int]:
        return (size[0] + 1) // 4, (size[1] + 1) // 4

    def __call__(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        rows, columns = self.out_size(x.shape[-2:])
        row_bytes = 4 * columns * self.convs[-1].out_channels * x.element_size()
        out, signs = _Map(rows), [_Map((x.shape[-2] + 1) // 2) for _ in self.convs]
        for start, stop in _strips(x, rows, row_bytes):
            out.append(self._strip(x, start, stop, None if tape is None else signs))
        if tape is not None:
            tape.extend(sign.whole for sign in signs)
        return out.whole

    def _strip(self, x: Tensor, start: int, stop: int, signs: list[_Map] | None) -> Tensor:
        """Output rows ``start`` to ``stop``: each convolution must first make one more row on either side of them."""
        half = (x.shape[-2] + 1) // 2
        is_whole = start == 0 and stop == half // 2
        first, last = 2 * start, half if stop == half // 2 else 2 * stop
        low = 0  # which row of the current map is the first that x holds
        for index, (conv, halo) in enumerate(zip(self.convs, (2, 1, 0), strict=True)):
            if not is_whole:
                top, bottom = max(first - halo, 0), min(last + halo, half)
                x = _rows(x, conv.stride * top - 1 - low, conv.stride * (bottom - 1) + 2 - low)
                low = top
            x = conv(x, pad_rows=is_whole).relu_()
            if signs is not None:
                signs[index].append(x[:, :, first - low : last - low] > 0)
        return F.avg_pool2d(x, 2)

    def pull_back(self, grad: Tensor, tape: Tape, size: tuple[int, int]) -> Tensor:
        half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
        grad = pull_back_avg_pool(grad, 2, half)
        for conv, in_size in zip(reversed(self.convs), (half, half, size), strict=True):
            grad = conv.pull_back(grad.mul_(tape.pop()), in_size)
        return grad


class Bottleneck:
    """1×1, 3×3 and 1×1 convolutions around a shortcut; a stride is an average pool after the 3×3 one."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str, stride: int, device: torch.device, dtype: torch.dtype):
        self.reduce, self.spatial, self.expand = (
            FrozenConv(tensors, f"{name}.conv{i}", f"{name}.bn{i}", device, dtype) for i in (1, 2, 3)
        )
        self.shortcut = (
            FrozenConv(tensors, f"{name}.downsample.0", f"{name}.downsample.1", device, dtype)
            if f"{name}.downsample.0.weight" in tensors
            else None
        )
        self.stride = stride

    def out_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return size[0] // self.stride, size[1] // self.stride

    def __call__(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        """Without a convolution on its shortcut, the block overwrites ``x`` with its output."""
        height, width = x.shape[-2:]
        rows, _ = self.out_size((height, width))
        row_bytes = self.stride * width * max(x.shape[1], self.expand.out_channels) * x.element_size()
        out, signs = _Map(rows), [_Map(height), _Map(height), _Map(rows)]
        strips = _strips(x, rows, row_bytes)
        done, above = 0, None  # how many rows of x are reduced, and the last two of them
        for start, stop in strips:
            first, last = start * self.stride, height if stop == rows else stop * self.stride
            reduced = self.reduce(x[:, :, done : last + 1]).relu_()
            done = last + 1
            if tape is not None:
                signs[0].append(reduced > 0)
            if len(strips) == 1:
                y = self.spatial(reduced).relu_()
            else:
                zeros = torch.zeros_like(reduced[:, :, :1])
                reduced = torch.cat([zeros if above is None else above, reduced, zeros[:, :, : stop == rows]], dim=2)
                above = reduced[:, :, -2:].clone()
                y = self.spatial(reduced, pad_rows=False).relu_()
            if tape is not None:
                signs[1].append(y > 0)
            y = self.expand(avg_pool(y, self.stride))
            identity = x[:, :, first:last]
            if self.shortcut is None:
                y = identity.add_(y).relu_()
            else:
                y = y.add_(self.shortcut(avg_pool(identity, self.stride))).relu_()
                out.append(y)
            if tape is not None:
                signs[2].append(y > 0)
        if tape is not None:
            tape.extend(sign.whole for sign in signs)
        return x if self.shortcut is None else out.whole

    def pull_back(self, grad: Tensor, tape: Tape, size: tuple[int, int]) -> Tensor:
        grad = grad.mul_(tape.pop())
        y = self.expand.pull_back(grad, self.out_size(size))
        y = pull_back_avg_pool(y, self.stride, size)
        y = self.spatial.pull_back(y.mul_(tape.pop()), size)
        y = self.reduce.pull_back(y.mul_(tape.pop()), size)
        if self.shortcut is not None:
            grad = self.shortcut.pull_back(grad, self.out_size(size))
            grad = pull_back_avg_pool(grad, self.stride, size)
        return y.add_(grad)


class _PiecewiseLinear(torch.autograd.Function):
    """The trunk with a gradient that keeps the signs of its ReLUs instead of their outputs."""

    @staticmethod
    def forward(ctx, x: Tensor, trunk: Trunk) -> Tensor:  # type: ignore[override]
        tape: Tape = []
        ctx.trunk, ctx.size = trunk, tuple(x.shape[-2:])
        y = trunk(x, tape)
        ctx.save_for_backward(*tape)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        return ctx.trunk.pull_back(grad, list(ctx.saved_tensors), ctx.size), None


class _Map:
    """A map of ``rows`` rows that arrives strip by strip, from the top."""

    def __init__(self, rows: int):
        self.rows, self.filled = rows, 0
        self.whole: Tensor = torch.empty(0)

    def append(self, strip: Tensor) -> None:
        count = strip.shape[-2]
        if count == self.rows:
            self.whole = strip
            return
        if self.filled == 0:
            shape = (*strip.shape[:2], self.rows, strip.shape[-1])
            self.whole = torch.empty(shape, dtype=strip.dtype, device=strip.device, memory_format=torch.channels_last)
        self.whole[:, :, self.filled : self.filled + count] = strip
        self.filled += count


def _strips(x: Tensor, rows: int, row_bytes: int) -> list[tuple[int, int]]:
    """Cut ``rows`` output rows into ``(start, stop)`` runs; only one large image on a CPU is cut at all."""
    count = 1
    if x.device.type == "cpu" and x.shape[0] == 1:
        count = max(1, min(rows // 2, round(rows * row_bytes / CPU_STRIP_BYTES)))
    edges = [rows * i // count for i in range(count + 1)]
    return list(pairwise(edges))


def _rows(x: Tensor, start: int, stop: int) -> Tensor:
    """Rows ``start`` to ``stop`` of a map that is zero outside itself."""
    height = x.shape[-2]
    inside = x[:, :, max(start, 0) : min(stop, height)]
    return F.pad(inside, (0, 0, max(-start, 0), max(stop - height, 0))) if start < 0 or stop > height else inside


def _count_blocks(tensors: Mapping[str, Tensor], stage: int) -> int:
    prefix = f"visual.layer{stage}."
    return len({key.split(".")[2] for key in tensors if key.startswith(prefix)})
