"""EfficientNet-Lite for images of any size as a CLIP image tower: the feature is made of the statistics of its maps.

Source: Tan and Le, ICML 2019; its blocks are MobileNetV2's (Sandler et al., CVPR 2018). The Lite variants (ReLU6, no
squeeze-and-excitation) are Google's. BatchNorm is folded into the convolutions in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from operator import mul
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .device import working_dtype
from .efficientnet_layout import Layout
from .frozen import idle_dilation
from .gradient import CPU_SHARED_PIXELS, is_traced, recomputed
from .readout import Moments, Readout, of_image, of_places
from .strips import cut

CELL = 32
"""Side in pixels of a place of the dense features."""

MIN_SIDE = 32
RESOLUTION = 224
"""Side in pixels of the images that the network was first trained on."""

_Result = TypeVar("_Result")


class EfficientNet:
    """Frozen image tower: pixels in [0, 1] to features, ``(N, 3, H, W)`` to ``(N, D)``, for any H, W of at least 32.

    Args:
        tensors: of a file in the compact format; only the image tower's are read.
        layout: strides and constants, which the tensors do not tell.
        device: where to compute.
        dtype: to which weights and pixels are rounded; statistics and what follows are in fp32 or wider.
    """

    min_side = MIN_SIDE

    def __init__(self, tensors: Mapping[str, Tensor], layout: Layout, device: torch.device, dtype: torch.dtype):
        self.device, self.dtype = device, dtype
        # a small slope would be lost in fp16, which a caller's GradScaler does not reach in here
        self.working = torch.float32 if dtype == torch.float16 else working_dtype(dtype, device)

        def load(name: str, stride: int = 1) -> Convolution:
            weight, bias = (
                tensors[f"visual.{name}.{part}"].to(dtype).to(device, self.working) for part in ("weight", "bias")
            )
            return Convolution(weight, bias, stride)

        self.stem = InvertedBottleneck(None, load("stem", 2), None)
        self.blocks = [
            InvertedBottleneck(
                load(f"blocks.{index}.expand") if f"visual.blocks.{index}.expand.weight" in tensors else None,
                load(f"blocks.{index}.depthwise", stride),
                load(f"blocks.{index}.project"),
            )
            for index, stride in enumerate(layout.strides)
        ]
        self.head = load("head")
        reaches = [2 * reach for reach in accumulate(layout.strides, mul)]
        self.sides = [CELL // reach for reach in (*reaches, reaches[-1])]  # of a cell on each map
        wide_dtype = torch.promote_types(dtype, torch.float32)
        self.readout, self.eps = Readout(tensors, device, wide_dtype), layout.eps
        means = tensors["visual.statistics.mean"].to(device, wide_dtype).chunk(2)[0]
        ours = len(means) - len(self.head.weight)
        self.centres = F.pad(means[:ours], (0, 2 * len(means) - ours))

    def __call__(self, x: Tensor, pos_embedding: str = "none") -> Tensor:
        """Encode pixels ``(N, 3, H, W)``, fp32 or float64; returns features ``(N, D)``, not normalised.

        It has no positions, so that ``pos_embedding`` is always ``'none'``.
        """
        return self.encode_stages(x)[0]

    def encode_stages(self, x: Tensor, pos_embedding: str = "none") -> tuple[Tensor, Tensor]:
        """The features ``(N, D)`` and what they are made of: mean and log deviation of every channel, ``(N, S)``.

        Means of all maps but the head's are given as differences from the file's.
        """
        (statistics,) = self._statistics(x, of_image)
        return self.readout(statistics), statistics - self.centres

    def with_map(self, x: Tensor, pos_embedding: str = "none") -> tuple[Tensor, Tensor]:
        """The features ``(N, D)`` and, from the same pass, those of each place, ``(N, D, h, w)``; not normalised.

        A place is a cell of 32 px seen with its eight neighbours; h = ((H + 1) // 2) // 16, and w likewise.
        """
        statistics, local = self._statistics(x, of_image, of_places)
        return self.readout(statistics), self.readout(local)

    def encode_map(self, x: Tensor, pos_embedding: str = "none") -> Tensor:
        """The latter of :meth:`with_map` alone."""
        (local,) = self._statistics(x, of_places)
        return self.readout(local)

    def _statistics(self, x: Tensor, *measures: Callable[..., Moments]) -> list[Tensor]:
        """Mean and log deviation of every channel of all maps, ``(N, S, …)``, as each measure takes them."""
        if not is_traced() and len(x) > 1 and x.device.type == "cpu" and x.shape[2] * x.shape[3] >= CPU_SHARED_PIXELS:
            singles = [self._statistics(image, *measures) for image in x.split(1)]
            return [torch.cat(images) for images in zip(*singles, strict=True)]
        grid = (x.shape[2] + 1) // 2 // 16, (x.shape[3] + 1) // 2 // 16
        found: list[tuple[list[Tensor], list[Tensor]]] = [([], []) for _ in measures]
        for y, side in zip(self._maps(x), self.sides, strict=True):
            for measure, (means, deviations) in zip(measures, found, strict=True):
                mean, variance = measure(y, side, grid)
                means.append(mean)
                deviations.append((variance + self.eps).log() / 2)
        return [torch.cat([*means, *deviations], dim=1) for means, deviations in found]

    def _maps(self, x: Tensor) -> Iterator[Tensor]:
        """Every block's output, and that of the head behind them."""
        x = x * (255 / 128) - 127 / 128
        x = (x + (x.to(self.dtype).to(x.dtype) - x).detach()).to(self.working)  # rounded, its gradient is not
        x = self.stem(x if is_traced() else x.contiguous(memory_format=torch.channels_last))  # vmap knows no layouts
        for block in self.blocks:
            x = block(x)
            yield x
        yield recomputed(lambda x: relu6(self.head(x)), x)


class Convolution:
    """A frozen convolution; depthwise if its weight has one input channel.

    It is padded so that n rows give ``ceil(n / stride)``. Above and on the left the padding does not depend on the
    size; for even sizes it is TensorFlow's "same". With stride 2 that is one-sided, which torch has not: ``surplus``
    rows and columns at the start of the output do not belong to it.
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: int):
        self.weight, self.bias, self.stride = weight.contiguous(memory_format=torch.channels_last), bias, stride
        self.groups = weight.shape[0] if weight.shape[1] == 1 else 1
        self.kernel, self.surplus = weight.shape[-1], stride - 1
        self.before = (self.kernel - stride) // 2

    def __call__(self, x: Tensor) -> Tensor:
        padding, dilation = self.before + self.surplus * self.stride, idle_dilation(x, self.weight)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, dilation, self.groups)


class InvertedBottleneck:
    """Expansion (1×1), ReLU6, k×k convolution, ReLU6, projection (1×1), and the input added where shapes allow.

    Args:
        expand: 1×1 convolution to the wide map; None where the block does not widen.
        spatial: convolution of the wide map.
        project: 1×1 convolution back; None for a stem, which ends with a ReLU6.
    """

    def __init__(self, expand: Convolution | None, spatial: Convolution, project: Convolution | None):
        self.expand, self.spatial, self.project = expand, spatial, project

    def __call__(self, x: Tensor) -> Tensor:
        """The block's output; a large image goes through in bands of rows, since the wide map is six times as large."""
        stride = self.spatial.stride
        bands: list[tuple[int, int | None]] = [(0, None)]
        if not is_traced():
            rows = (x.shape[2] + stride - 1) // stride
            places = x.shape[3] // stride if self.expand is None else x.shape[3] * stride  # of the wide map, a row
            row_bytes = places * len(self.spatial.weight) * x.element_size()
            bands = [(start, stop if stop < rows else None) for start, stop in cut(x, rows, row_bytes)]
        found = [recomputed(self._rows, x, start, stop) for start, stop in bands]
        return torch.cat(found, dim=2) if len(found) > 1 else found[0]

    def _rows(self, x: Tensor, start: int, stop: int | None) -> Tensor:
        """Rows ``start`` to ``stop`` of the block's output, or to its end."""
        spatial = self.spatial
        first = max(start - spatial.before, 0)
        skip = start - first + spatial.surplus
        bottom = None if stop is None else (stop - 1) * spatial.stride - spatial.before + spatial.kernel
        y = crop(x, first * spatial.stride, bottom)
        if self.expand is not None:
            y = relu6(self.expand(y))
        y = relu6(crop(spatial(y), skip, None if stop is None else skip + stop - start, spatial.surplus))
        if self.project is not None:
            y = self.project(y)
        return y.add_(crop(x, start, stop)) if spatial.stride == 1 and y.shape[1] == x.shape[1] else y


def relu6(x: Tensor) -> Tensor:
    return F.relu6(x, inplace=not x.requires_grad)


def crop(x: Tensor, start: int, stop: int | None, left: int = 0) -> Tensor:
    """``x[:, :, start:stop, left:]``, whose gradient has the layout of ``x``; a slice's is not channels-last."""
    if not x.requires_grad or is_traced() or (start, stop, left) == (0, None, 0):
        return x[:, :, start:stop, left:]
    return F.pad(x, (-left, 0, -start, 0 if stop is None else stop - x.shape[2]))
