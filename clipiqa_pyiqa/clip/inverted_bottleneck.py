"""The residual block of an EfficientNet, computed in strips of rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .convolution import Convolution
from .gradient import recomputed
from .strips import crop, cut
from .tracing import is_traced


def padding_of_all_sides(kernel: int, stride: int) -> int:
    """Return torch's padding, which is TensorFlow's below and on the right, for a stride of 1 or 2.

    Above and on the left TensorFlow adds fewer zeros: see :func:`padding_above`. With stride 2, torch's output so has a
    first row and a first column that TensorFlow's has not.
    """
    return kernel // 2 + stride - 1


def padding_above(kernel: int, stride: int) -> int:
    """Return how many rows of zeros TensorFlow adds above, and how many columns on the left.

    With stride 2 and a kernel of 3 these are none: of 32 rows, row 4 of the output is made from rows 8, 9 and 10.
    """
    return kernel // 2 - (stride - 1)


@dataclass
class InvertedBottleneck:
    """1×1 expansion, k×k convolution, 1×1 projection; a shortcut if the shape stays the same."""

    expand: Convolution | None
    spatial: Convolution
    project: Convolution | None

    def __call__(self, x: Tensor) -> Tensor:
        stride = self.spatial.stride
        bands: list[tuple[int, int | None]] = [(0, None)]
        if not is_traced():
            rows = (x.shape[2] + stride - 1) // stride
            places = (
                x.shape[3] // stride if self.expand is None else x.shape[3] * stride
            )  # of the widest map, for a row of the output
            strips = cut(x, rows, places * self.spatial.out_channels)
            bands = [(strip.start, None if strip.is_last else strip.stop) for strip in strips]
        outputs = [recomputed(self.band, x, start, stop) for start, stop in bands]
        return torch.cat(outputs, dim=2) if len(outputs) > 1 else outputs[0]

    def band(self, x: Tensor, start: int, stop: int | None) -> Tensor:
        """Return the rows of the output from ``start`` to ``stop``; None is the last row."""
        spatial = self.spatial
        stride = spatial.stride
        above = padding_above(spatial.kernel, stride)
        first = max(start - above, 0)  # row of the output for which the strip of the input is cut, at `first * stride`
        read_stop = None if stop is None else (stop - 1) * stride - above + spatial.kernel
        y = crop(x, first * stride, read_stop)
        if self.expand is not None:
            y = self.expand(y)
        surplus = stride - 1  # first rows and columns that only torch's output has: see `padding_of_all_sides`
        skipped = surplus + start - first
        y = crop(spatial(y), skipped, None if stop is None else skipped + stop - start, surplus)
        if self.project is not None:
            y = self.project(y)
        if stride > 1 or y.shape[1] != x.shape[1]:
            return y
        return y + x if is_traced() else y.add_(crop(x, start, stop))  # tracing takes long for operations in place
