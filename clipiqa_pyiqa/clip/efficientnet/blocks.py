"""MobileNet's inverted residual blocks, frozen, on a map that comes in strips of rows, forward and backward.

Source: Sandler et al., CVPR 2018; Tan and Le, ICML 2019 (EfficientNet). A strip goes through the whole block while it
is in the cache, so that the wide map inside, six times the block's input, never lies in memory as a whole. Exact:
a convolution keeps the rows that its next strip needs too. Backward needs one bit per element of the wide maps: where
the ReLU6 was strictly between its two ends (:mod:`..frozen`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import rounded
from ..frozen import idle_dilation, keep_positive, pack_signs
from ..strips import RowMap
from .rows import RowQueue, Strips

TOP = 6.0
"""Where a ReLU6 stops to rise."""


Place = Callable[[Tensor, Tensor], None]
"""Writes its first argument, or what is made of it, into its second."""


def _copy(x: Tensor, out: Tensor) -> None:
    out.copy_(x)


class Pointwise:
    """A frozen 1×1 convolution; weight ``(out, in, 1, 1)`` and bias ``(out,)`` come in float64."""

    def __init__(self, weight: Tensor, bias: Tensor, device: torch.device, dtype: torch.dtype):
        self.weight, self.turned = (
            rounded(part, dtype, device).contiguous(memory_format=torch.channels_last)
            for part in (weight, weight.transpose(0, 1))
        )
        self.bias = rounded(bias, dtype, device)

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, dilation=idle_dilation(x, self.weight))

    def pull_back(self, grad: Tensor) -> Tensor:
        return F.conv2d(grad, self.turned, dilation=idle_dilation(grad, self.turned))


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
        self.weight, self.bias = rounded(weight, dtype, device), rounded(bias, dtype, device)

    def out(self, size: int) -> int:
        return (size + self.stride - 1) // self.stride  # ONNX divides towards zero

    def after(self, size: int) -> int:
        """Rows of padding below, or columns on the right, of a map of that size."""
        return (self.out(size) - 1) * self.stride + self.kernel - self.before - size

    def plain(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        return self._convolve(F.pad(x, (self.before, self.after(width), self.before, self.after(height))))

    def stream(self, strips: Strips, height: int, place: Place = _copy) -> Strips:
        """The convolution of a map of ``height`` rows.

        Args:
            strips: the map, or what ``place`` makes the map of.
            height: of the whole map.
            place: writes a strip of the map to where it is read from, between padding.
        """
        room: Tensor | None = None  # rows left of the strip before, the strip, and padding around
        left = self.before  # rows in use at the top; zeros at first
        seen = 0
        for x in strips:
            seen += x.shape[2]
            used = left + x.shape[2] + (self.after(height) if seen == height else 0)
            if room is None or room.shape[2] < used:
                room = self._grown(x, used, room, left)
            place(x, room[:, :, left : left + x.shape[2], self.before : self.before + x.shape[3]])
            room[:, :, left + x.shape[2] : used] = 0
            rows = max(0, (used - self.kernel) // self.stride + 1)
            if rows:
                yield self._convolve(room[:, :, : (rows - 1) * self.stride + self.kernel])
            left = used - rows * self.stride
            if rows and seen < height:
                room[:, :, :left] = room[:, :, used - left : used].clone()

    def _grown(self, x: Tensor, rows: int, room: Tensor | None, left: int) -> Tensor:
        """Room for ``rows`` rows of maps like ``x`` with columns of zeros at the sides, and for what is ``left``."""
        columns = self.before + x.shape[3] + self.after(x.shape[3])
        grown = x.new_zeros((x.shape[0], rows, columns, x.shape[1])).permute(0, 3, 1, 2)  # channels last
        if room is not None:
            grown[:, :, :left] = room[:, :, :left]
        return grown

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


class InvertedBottleneck:
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
                yield x if self.expand is None else self.expand(x)

        def place(x: Tensor, out: Tensor) -> None:
            torch.clamp(x, 0, TOP, out=out)  # in the one pass that pads, too
            if bits is not None:
                bits.wide.append(pack_between(out))

        for y in self.spatial.stream(wide(), height, _copy if self.expand is None else place):
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
