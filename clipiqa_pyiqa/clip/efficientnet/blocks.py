"""MobileNet's inverted residual blocks, frozen, on a map that comes in strips of rows, forward and backward.

Source: Sandler et al., CVPR 2018; Tan and Le, ICML 2019 (EfficientNet). A strip goes through the whole block while it
is in the cache, so that the wide map inside, six times the block's input, never lies in memory as a whole. Exact:
a convolution keeps the rows that its next strip needs too. Backward needs one bit per element of the wide maps: where
the ReLU6 was strictly between its two ends (:mod:`..frozen`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..frozen import keep_positive, pack_signs
from ..strips import RowMap
from .rows import RowQueue, Strips

TOP = 6.0
"""Where a ReLU6 stops to rise."""


class Pointwise:
    """A frozen 1×1 convolution; weight ``(out, in, 1, 1)`` and bias ``(out,)`` come in float64."""

    def __init__(self, weight: Tensor, bias: Tensor, device: torch.device, dtype: torch.dtype):
        self.weight, self.turned = (
            part.to(device, dtype).contiguous(memory_format=torch.channels_last)
            for part in (weight, weight.transpose(0, 1))
        )
        self.bias = bias.to(device, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias)

    def pull_back(self, grad: Tensor) -> Tensor:
        return F.conv2d(grad, self.turned)


class Spatial:
    """A frozen k×k convolution of stride 1 or 2, depthwise or full, padded: n rows give ``ceil(n / stride)``.

    The padding above and on the left does not depend on the size; for even sizes it is TensorFlow's "same".

    Args:
        weight: ``(C, 1, k, k)`` for a depthwise one, else ``(out, in, k, k)``; float64, as the bias.
        bias: ``(C,)``.
        stride: 1 or 2.
        device, dtype: where and in what to compute.
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, device: torch.device, dtype: torch.dtype):
        self.kernel, self.stride = weight.shape[-1], stride
        self.before = (self.kernel - stride) // 2
        self.groups = weight.shape[0] if weight.shape[1] == 1 else 1
        self.weight, self.bias = weight.to(device, dtype), bias.to(device, dtype)

    def out(self, size: int) -> int:
        return (size + self.stride - 1) // self.stride  # ONNX divides towards zero

    def after(self, size: int) -> int:
        """Rows of padding below, or columns on the right, of a map of that size."""
        return (self.out(size) - 1) * self.stride + self.kernel - self.before - size

    def plain(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        return self._convolve(F.pad(x, (self.before, self.after(width), self.before, self.after(height))))

    def stream(self, strips: Strips, height: int) -> Strips:
        """The convolution of a map of ``height`` rows."""
        carry: Tensor | None = None
        seen = 0
        for x in strips:
            seen += x.shape[2]
            above, below = 0 if carry is not None else self.before, self.after(height) if seen == height else 0
            x = F.pad(x, (self.before, self.after(x.shape[3]), above, below))
            if carry is not None:
                x = torch.cat([carry, x], dim=2)
            rows = max(0, (x.shape[2] - self.kernel) // self.stride + 1)
            carry = x[:, :, rows * self.stride :].clone()  # a view would keep the whole strip
            if rows:
                yield self._convolve(x[:, :, : (rows - 1) * self.stride + self.kernel])

    def pull_back(self, grads: Strips, size: tuple[int, int]) -> Strips:
        """Gradient with respect to the input, whose height and width were ``size``."""
        height, width = size
        carry: Tensor | None = None  # rows that the next strip adds to
        drop, done = self.before, 0  # rows of padding that lie before the map, and rows that are out
        came = 0
        for grad in grads:
            came += grad.shape[2]
            rows = F.conv_transpose2d(grad, self.weight, None, self.stride, (0, self.before), 0, self.groups)
            rows = rows[..., :width]
            if carry is not None:
                rows[:, :, : carry.shape[2]] += carry
            complete = grad.shape[2] * self.stride
            carry = rows[:, :, complete:].clone()
            stop = drop + height - done if came == self.out(height) else complete
            start, drop = min(drop, stop), max(0, drop - stop)
            if stop > start:
                done += stop - start
                yield rows[:, :, start:stop].contiguous(memory_format=torch.channels_last)

    def _convolve(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class Bits:
    """What backward needs of one block: where its two ReLU6 were strictly between their ends, a bit per element."""

    def __init__(self, size: tuple[int, int], out_size: tuple[int, int]):
        self.size = size
        self.wide, self.narrow = RowMap(size[0]), RowMap(out_size[0])


class Block:
    """Expansion (1×1), ReLU6, k×k convolution, ReLU6, projection (1×1), and the input added where shapes allow.

    Args:
        expand: 1×1 convolution to the wide map; None where the block does not widen.
        spatial: convolution on the wide map.
        project: 1×1 convolution back; None for a stem, which ends with a ReLU6.
        residual: whether the input is added.
    """

    def __init__(self, expand: Pointwise | None, spatial: Spatial, project: Pointwise | None, residual: bool):
        self.expand, self.spatial, self.project, self.residual = expand, spatial, project, residual
        self.channels = spatial.bias.shape[0]

    def out_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return self.spatial.out(size[0]), self.spatial.out(size[1])

    def plain(self, x: Tensor) -> Tensor:
        """The block by plain differentiable operations, for second derivatives and torch.func's transforms."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = F.relu6(self.spatial.plain(y))
        y = y if self.project is None else self.project(y)
        return x + y if self.residual else y

    def stream(self, strips: Strips, height: int, bits: Bits | None) -> Strips:
        """The block on a map of ``height`` rows; notes down what its :meth:`pull_back` needs if ``bits`` are given."""
        waiting = RowQueue()

        def wide() -> Strips:
            for x in strips:
                if self.residual:
                    waiting.push(x)
                if self.expand is not None:
                    x = self.expand(x).clamp_(0, TOP)
                    if bits is not None:
                        bits.wide.append(pack_between(x))
                yield x

        for y in self.spatial.stream(wide(), height):
            y = y.clamp_(0, TOP)
            if bits is not None:
                bits.narrow.append(pack_between(y))
            if self.project is not None:
                y = self.project(y)
            if self.residual:
                y = y.add_(waiting.take(y.shape[2]))
            yield y

    def pull_back(self, grads: Strips, bits: Bits) -> Strips:
        """Gradient with respect to the block's input; a stem overwrites ``grads``."""
        waiting = RowQueue()

        def narrow() -> Strips:
            row = 0
            for grad in grads:
                if self.residual:
                    waiting.push(grad)
                if self.project is not None:
                    grad = self.project.pull_back(grad)
                yield keep_positive(grad, bits.narrow.whole[:, :, row : row + grad.shape[2]])
                row += grad.shape[2]

        row = 0
        for grad in self.spatial.pull_back(narrow(), bits.size):
            rows = grad.shape[2]
            if self.expand is not None:
                grad = self.expand.pull_back(keep_positive(grad, bits.wide.whole[:, :, row : row + rows]))
            if self.residual:
                grad = grad.add_(waiting.take(rows))
            row += rows
            yield grad


def pack_between(y: Tensor) -> Tensor:
    """Where a ReLU6's output is strictly between its ends, one bit per element: ``(N, C / 8, H, W)``."""
    return pack_signs((y > 0).logical_and_(y < TOP))
