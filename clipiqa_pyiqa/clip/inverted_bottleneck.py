"""The residual block of an EfficientNet, computed in strips of rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .convolution import Convolution
from .gradient import recomputed
from .strips import crop, cut
from .tracing import is_traced


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
            places = x.shape[3] // stride if self.expand is None else x.shape[3] * stride  # in a row of the widest map
            strips = cut(x, rows, places * self.spatial.out_channels)
            bands = [(strip.start, None if strip.is_last else strip.stop) for strip in strips]
        outputs = [recomputed(self.band, x, start, stop) for start, stop in bands]
        return torch.cat(outputs, dim=2) if len(outputs) > 1 else outputs[0]

    def band(self, x: Tensor, start: int, stop: int | None) -> Tensor:
        """Return the rows of the output from ``start`` to ``stop``; None is the last row."""
        spatial = self.spatial
        stride = self.spatial.stride
        surplus = stride - 1  # first rows and columns of the output, which TensorFlow's padding does not give
        before = spatial.padding - 2 * surplus
        first = max(start - before, 0)
        skip = start - first + surplus
        bottom = None if stop is None else (stop - 1) * stride - before + spatial.kernel
        y = crop(x, first * stride, bottom)
        if self.expand is not None:
            y = self.expand(y)
        y = crop(spatial(y), skip, None if stop is None else skip + stop - start, surplus)
        if self.project is not None:
            y = self.project(y)
        if stride > 1 or y.shape[1] != x.shape[1]:
            return y
        return y + x if is_traced() else y.add_(crop(x, start, stop))  # tracing takes long for operations in place
