"""mini's image tower: an EfficientNet-Lite whose features come from statistics of its feature maps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import WeightsError
from .arithmetic import FrozenTensors, at_least_fp32
from .convolution import Convolution
from .gradient import CPU_SHARED_PIXELS, LARGE, is_traced, recomputed
from .resnet import rounded_pixels
from .strips import crop, cut

FORMAT = "clipiqa-mini/2"

CELL = 32
"""Side in pixels of a place: a cell of the image that gets its own feature."""

RESOLUTION = 224
"""Side in pixels of the images on which the network was first trained."""

Moments = tuple[Tensor, Tensor]
"""Mean and variance of every channel: ``(N, C)`` of images, ``(N, C, h, w)`` of places; fp32 or wider."""


class EfficientNet:
    """Frozen network of an image tower: pixels ``(N, 3, H, W)`` in [0, 1] to features, for H and W of at least 32.

    The feature of a place describes a cell of 32 px and its eight neighbours. Source: Tan and Le, ICML 2019;
    blocks: Sandler et al., CVPR 2018; Google's Lite variants.
    """

    group_pixels = CPU_SHARED_PIXELS
    has_normalisation = True

    def __init__(self, tensors: FrozenTensors):
        checkpoint = tensors.checkpoint
        self.dtype = tensors.dtype
        # fp16 would lose small gradients: a caller's GradScaler does not scale gradients inside this tower
        self.arithmetic_dtype = torch.float32 if self.dtype == torch.float16 else tensors.arithmetic_dtype
        architecture = json.loads(checkpoint.metadata["architecture"])
        strides = [stride if i == 0 else 1 for count, _, stride, *_ in architecture["stages"] for i in range(count)]

        def load(name: str, stride: int = 1, activation: str = "relu6") -> Convolution:
            weight, bias = (
                tensors.rounded(checkpoint[f"visual.{name}.{part}"]).to(self.arithmetic_dtype)
                for part in ("weight", "bias")
            )
            kernel = weight.shape[-1]
            # torch's padding, which is TensorFlow's below and on the right, for a stride of 1 or 2: see padding_above
            return Convolution(weight, bias, stride, activation, padding=kernel // 2 + stride - 1)

        self.stem = InvertedBottleneck(None, load("stem", 2), None)
        self.blocks = [
            InvertedBottleneck(
                load(f"blocks.{index}.expand") if f"visual.blocks.{index}.expand.weight" in checkpoint else None,
                load(f"blocks.{index}.depthwise", stride),
                load(f"blocks.{index}.project", activation="none"),
            )
            for index, stride in enumerate(strides)
        ]
        self.head = load("head")
        reaches = [2 * reach for reach in accumulate(strides, mul)]
        self.sides = [CELL // reach for reach in (*reaches, reaches[-1])]  # side of a cell on each map
        self.readout = Readout(tensors)
        self.eps = float(architecture["statistics_eps"])  # added to each variance before the logarithm
        means = tensors.read("visual.statistics.mean").chunk(2)[0]
        stage_channels = len(means) - self.head.out_channels
        # 0 for the head's means and for all deviations: nothing is subtracted from these
        self.centres = F.pad(means[:stage_channels], (0, 2 * len(means) - stage_channels))

    def encode(self, x: Tensor, pos_embedding: str, *parts: str) -> list[Tensor]:
        """Return what is asked of images, not normalised: see :class:`~clipiqa_pyiqa.clip.model.Encoder`.

        The statistics of stages are each channel's mean and log deviation on each map; the checkpoint's mean is
        subtracted from each mean, except in the head.
        """
        # rows and columns of cells: the stem halves an image, rounding up, and 16 of its rows are a cell
        grid = (x.shape[2] + 1) // 2 // 16, (x.shape[3] + 1) // 2 // 16
        of_images, of_places = list[Moments](), list[Moments]()
        for y, side in zip(self._maps(x), self.sides, strict=True):
            if "image" in parts or "stages" in parts:
                of_images.append(channel_moments(at_least_fp32(y), (2, 3)))
            if "places" in parts:
                of_places.append(moments_of_places(y, side, grid))
        answers = {
            "image": lambda: self.readout(self._joined(of_images)),
            "places": lambda: self.readout(self._joined(of_places, with_neighbours=True)),
            "stages": lambda: self._joined(of_images) - self.centres,
        }
        return [answers[part]() for part in parts]

    def _joined(self, moments: list[Moments], with_neighbours: bool = False) -> Tensor:
        """Return the mean and then the log deviation of each channel of all maps: ``(N, S)`` or ``(N, S, h, w)``."""
        mean, variance = (torch.cat(of_maps, dim=1) for of_maps in zip(*moments, strict=True))
        if with_neighbours:
            for axis in (3, 2):
                mean, variance = recomputed(moments_with_neighbours, mean, variance, axis)
        return torch.cat([mean, (variance + self.eps).log() / 2], dim=1)

    def _maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the map after each block, and that of the head."""
        is_large = not is_traced() and x.shape[2] * x.shape[3] > LARGE
        x = rounded_pixels(x * (255 / 128) - 127 / 128, self.dtype).to(self.arithmetic_dtype)
        x = self.stem(x if is_traced() else x.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = recomputed(block, x) if is_large else block(x)
            yield x
        yield recomputed(self.head, x) if is_large else self.head(x)


def padding_above(kernel: int, stride: int) -> int:
    """Return how many rows of zeros TensorFlow adds above, and how many columns on the left.

    With stride 2 and a kernel of 3 these are none: of 32 rows, row 4 of the output is made from rows 8, 9 and 10. With
    stride 2, torch's output so has a first row and a first column that TensorFlow's has not.
    """
    return kernel // 2 - (stride - 1)


@dataclass
class InvertedBottleneck:
    """1×1 expansion, k×k convolution, 1×1 projection; a shortcut if the shape stays the same."""

    expand: Convolution | None
    spatial: Convolution
    project: Convolution | None

    def __call__(self, x: Tensor) -> Tensor:
        if is_traced():
            return self.strip(x, 0, None)
        stride = self.spatial.stride
        # places of the widest map, for a row of the output
        places = x.shape[3] // stride if self.expand is None else x.shape[3] * stride
        strips = cut(x, (x.shape[2] + stride - 1) // stride, places * self.spatial.out_channels)
        outputs = [self.strip(x, start, stop) for start, stop in strips]
        return torch.cat(outputs, dim=2) if len(outputs) > 1 else outputs[0]

    def strip(self, x: Tensor, start: int, stop: int | None) -> Tensor:
        """Return the rows of the output from ``start`` to ``stop``; None is the end."""
        kernel, stride = self.spatial.kernel, self.spatial.stride
        above = padding_above(kernel, stride)
        first = max(start - above, 0)  # row of the output for which the strip of the input is cut, at `first * stride`
        y = crop(x, first * stride, None if stop is None else (stop - 1) * stride - above + kernel)
        if self.expand is not None:
            y = self.expand(y)
        surplus = stride - 1  # first rows and columns that only torch's output has: see `padding_above`
        skipped = surplus + start - first
        y = crop(self.spatial(y), skipped, None if stop is None else skipped + stop - start, surplus)
        if self.project is not None:
            y = self.project(y)
        if stride > 1 or y.shape[1] != x.shape[1]:
            return y
        return y + x if is_traced() else y.add_(crop(x, start, stop))  # tracing takes long for operations in place


class Readout:
    """Linear layers from statistics to features.

    ``visual.statistics.{mean,scale}`` (S,) normalise statistics: all means, then all log deviations. The layers are
    ``visual.answers`` (R, S), ``visual.hidden`` (K, R), a ReLU and ``visual.proj`` (D, K).
    """

    def __init__(self, tensors: FrozenTensors):
        names = ("answers.weight", "answers.bias", "statistics.mean", "statistics.scale")
        weight, bias, mean, scale = (tensors.checkpoint[f"visual.{name}"].double() for name in names)
        weight = weight / scale
        self.answers = [x.to(tensors.device, tensors.feature_dtype) for x in (weight, bias - weight @ mean)]
        self.hidden, self.proj = (
            [tensors.read(f"visual.{name}.{part}") for part in ("weight", "bias")] for name in ("hidden", "proj")
        )

    def __call__(self, statistics: Tensor) -> Tensor:
        if not is_traced() and len(statistics) > 1 and statistics.is_cpu:
            return torch.cat([self(image) for image in statistics.split(1)])  # sums depend on the number of rows
        hidden = F.linear(F.linear(statistics.movedim(1, -1), *self.answers), *self.hidden)
        return F.linear(hidden.relu(), *self.proj).movedim(-1, 1)


def moments_of_places(x: Tensor, side: int, grid: tuple[int, int]) -> Moments:
    """Return the moments of each cell of maps ``(N, C, H, W)``; ``side`` is a cell's side in pixels of the maps."""
    x = at_least_fp32(x[:, :, : grid[0] * side, : grid[1] * side])
    if side == 1:
        return x, torch.zeros_like(x)
    return channel_moments(x.unflatten(3, (grid[1], side)).unflatten(2, (grid[0], side)), (3, 5))


def channel_moments(x: Tensor, axes: tuple[int, int]) -> Moments:
    """Return the mean and variance over these axes, which the result does not have."""
    mean = x.mean(axes, keepdim=True)
    # differences are taken from a constant; F.mse_loss would warn of the other shape
    square = torch.ops.aten.mse_loss(x, mean.detach(), 0).mean(axes)
    mean = mean.squeeze(axes)
    if mean.requires_grad or is_traced():
        square = square - (mean - mean.detach()).square()  # 0, but its second derivative is not
    return mean, square


def moments_with_neighbours(mean: Tensor, variance: Tensor, axis: int) -> Moments:
    """Return the moments of each cell together with the cells before and after it.

    The variance of up to three cells is the mean of their variances plus the variance of their means.
    """
    size = mean.shape[axis]
    around = (1, 1) if axis == 3 else (0, 0, 1, 1)
    padded = F.pad(mean, around)
    is_cell = F.pad(torch.ones_like(mean[:1, :1]), around)
    has_before = is_cell.narrow(axis, 0, size)
    has_after = is_cell.narrow(axis, 2, size)
    count = 1 + has_before + has_after
    # differences from the cell's own mean, 0 where there is no neighbour
    before = (padded.narrow(axis, 0, size) - mean) * has_before
    after = (padded.narrow(axis, 2, size) - mean) * has_after
    shift = (before + after) / count
    variance_of_means = (before.square() + after.square()) / count - shift.square()
    window, padding = ((1, 3), (0, 1)) if axis == 3 else ((3, 1), (1, 0))
    mean_of_variances = F.avg_pool2d(variance, window, stride=1, padding=padding, count_include_pad=False)
    return mean + shift, mean_of_variances + variance_of_means


def load_efficientnet(tensors: FrozenTensors) -> EfficientNet:
    """Return the network in a mini checkpoint; raise WeightsError for another format or an incomplete file."""
    checkpoint = tensors.checkpoint
    try:
        if checkpoint.metadata["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        network = EfficientNet(tensors)
        network.encode(torch.zeros(1, 3, CELL, CELL, device=tensors.device), "none", "image", "stages")
        return network
    except (WeightsError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a damaged file may hold anything, and wrong shapes raise many kinds of exceptions
        raise WeightsError(
            f"{checkpoint.path} is not a complete mini checkpoint ({error}): use another file."
        ) from error
