"""The image tower of mini: an EfficientNet-Lite whose features come from statistics of its feature maps."""

import json
from collections.abc import Iterator
from itertools import accumulate
from operator import mul

import torch
import torch.nn.functional as F
from torch import Tensor

from .arithmetic import at_least_fp32
from .convolution import Convolution
from .encoder import Part
from .frozen_tensors import FrozenTensors
from .gradient import recomputed
from .groups import CPU_SHARED_PIXELS
from .inverted_bottleneck import InvertedBottleneck, padding_of_all_sides
from .moments import Moments, channel_moments, moments_of_places, moments_with_neighbours
from .packing_trial import warn_of_packing_failure
from .tracing import is_traced

CELL = 32
"""Side in pixels of a place: a cell of the image that gets its own feature."""

RESOLUTION = 224
"""Side in pixels of the images on which the network was first trained."""


class Readout:
    """Linear layers from statistics to features.

    ``visual.statistics.{mean,scale}`` (S,) normalise statistics: all means, then all log deviations. The layers are
    ``visual.answers`` (R, S), ``visual.hidden`` (K, R), a ReLU and ``visual.proj`` (D, K).
    """

    def __init__(self, tensors: FrozenTensors):
        weight, bias, mean, scale = (
            tensors.checkpoint[f"visual.{name}"].double()
            for name in ("answers.weight", "answers.bias", "statistics.mean", "statistics.scale")
        )
        weight = weight / scale
        self.answers = [x.to(tensors.device, tensors.feature_dtype) for x in (weight, bias - weight @ mean)]
        self.hidden, self.proj = (
            [tensors.read(f"visual.{name}.{part}") for part in ("weight", "bias")] for name in ("hidden", "proj")
        )

    def __call__(self, statistics: Tensor) -> Tensor:
        if not is_traced() and len(statistics) > 1 and statistics.device.type == "cpu":
            return torch.cat([self(image) for image in statistics.split(1)])  # sums depend on the number of rows
        hidden = F.linear(F.linear(statistics.movedim(1, -1), *self.answers), *self.hidden)
        return F.linear(hidden.relu(), *self.proj).movedim(-1, 1)


class EfficientNet:
    """Frozen network of an image tower: pixels ``(N, 3, H, W)`` in [0, 1] to features, for H and W of at least 32.

    The feature of a place describes a cell of 32 px and its eight neighbours. Source: Tan and Le, ICML 2019;
    blocks: Sandler et al., CVPR 2018; Google's Lite variants.
    """

    group_factor = 1
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
            return Convolution(weight, bias, stride, activation, padding_of_all_sides(weight.shape[-1], stride))

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
        warn_of_packing_failure(tensors.device, self.arithmetic_dtype)

    def encode(self, x: Tensor, pos_embedding: str, *parts: Part) -> list[Tensor]:
        """Return the features of each part, not normalised; there is no positional embedding."""
        return [self.readout(statistics) for statistics in self._statistics(x, *parts)]

    def encode_stages(self, x: Tensor, pos_embedding: str) -> tuple[Tensor, Tensor]:
        """Return features ``(N, D)``, and each channel's mean and log deviation, ``(N, S)``.

        The checkpoint's mean is subtracted from each mean, except in the head.
        """
        (statistics,) = self._statistics(x, "image")
        return self.readout(statistics), statistics - self.centres

    def _statistics(self, x: Tensor, *parts: Part) -> list[Tensor]:
        """Return, for each part, the mean and then the log deviation of each channel of all maps: ``(N, S, …)``."""
        if not is_traced() and len(x) > 1 and x.device.type == "cpu" and x.shape[2] * x.shape[3] >= CPU_SHARED_PIXELS:
            singles = [self._statistics(image, *parts) for image in x.split(1)]
            return [torch.cat(images) for images in zip(*singles, strict=True)]
        # rows and columns of cells: the stem halves an image, rounding up, and 16 of its rows are a cell
        grid = (x.shape[2] + 1) // 2 // 16, (x.shape[3] + 1) // 2 // 16
        moments: dict[Part, list[Moments]] = {part: [] for part in parts}
        for y, side in zip(self._maps(x), self.sides, strict=True):
            for part in parts:
                is_whole = part == "image"
                of_map = channel_moments(at_least_fp32(y), (2, 3)) if is_whole else moments_of_places(y, side, grid)
                moments[part].append(of_map)
        return [self._joined(moments[part], part) for part in parts]

    def _joined(self, moments: list[Moments], part: Part) -> Tensor:
        """Return the statistics of a part from its moments on each map; those of places include their neighbours."""
        mean, variance = (torch.cat(of_maps, dim=1) for of_maps in zip(*moments, strict=True))
        if part == "places":
            for axis in (3, 2):
                mean, variance = recomputed(moments_with_neighbours, mean, variance, axis)
        return torch.cat([mean, (variance + self.eps).log() / 2], dim=1)

    def _maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the map after each block, and that of the head."""
        x = x * (255 / 128) - 127 / 128
        if self.dtype != x.dtype:  # pixels are rounded, gradients are not
            x = (x + (x.to(self.dtype).to(x.dtype) - x).detach()).to(self.arithmetic_dtype)
        x = self.stem(x if is_traced() else x.contiguous(memory_format=torch.channels_last))  # vmap refuses layouts
        for block in self.blocks:
            x = block(x)
            yield x
        yield recomputed(self.head, x)
