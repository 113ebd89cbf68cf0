"""A small checkpoint in the compact format, made from mini's, and mini's tower once more."""

import json

import torch
import torch.nn.functional as F
from draws import normal
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from seeded import _calibration_images

from clipiqa_pyiqa.weights.names import MINI_FILE

STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
"""Repeats, kernel, stride of the first, expansion and output channels of the stages of mini, an EfficientNet-Lite0."""
SMALL = ((1, 3, 1, 1, 16), (1, 3, 2, 6, 320))
EPS = 1e-4


def blocks(stages):
    """Stride, expansion, input and output channels of each block."""
    found, width = [], 32
    for repeats, _, stride, expansion, out in stages:
        for i in range(repeats):
            found.append((stride if i == 0 else 1, expansion, width, out))
            width = out
    return found


def save_compact(path):
    """Write mini with two blocks, of which the second is widened, and seeded answers from their statistics."""
    gone = tuple(f"visual.blocks.{number}." for number in range(2, 16))
    tensors = {name: tensor for name, tensor in load_file(MINI_FILE).items() if not name.startswith(gone)}
    for name in ("visual.blocks.1.project.weight", "visual.blocks.1.project.bias"):
        tensors[name] = torch.cat([tensors[name]] * 14)[:320]
    values = statistics(taps(tensors, (255 * (_calibration_images() * 0.27 + 0.45) - 127) / 128, SMALL))
    tensors["visual.statistics.mean"] = values.mean(0)
    tensors["visual.statistics.scale"] = values.std(0) + 0.05
    projection = normal(62, values.shape[1])
    tensors["visual.answers.weight"] = (projection / values.shape[1] ** 0.5).half()
    tensors["logit_scale"] = torch.tensor(3.0)  # with CLIP's 4.6, scores would be close to 0 and 1
    with safe_open(MINI_FILE, "pt") as file:
        metadata = file.metadata()
    architecture = json.loads(metadata["architecture"]) | {"stages": SMALL}
    save_file(tensors, path, metadata | {"architecture": json.dumps(architecture)})


# The tower by plain operations, for normalised pixels


def taps(tensors, x, stages=STAGES):
    """Every block's output and the head's."""

    def conv(x, name, stride=1):
        weight, bias = (tensors[f"visual.{name}.{kind}"].to(x.dtype) for kind in ("weight", "bias"))
        kernel = weight.shape[-1]
        groups = weight.shape[0] if weight.shape[1] == 1 else 1
        low = (kernel - stride) // 2
        right, below = (kernel - stride - low + (size % 2 if stride == 2 else 0) for size in (x.shape[3], x.shape[2]))
        return F.conv2d(F.pad(x, (low, right, low, below)), weight, bias, stride, groups=groups)

    x = F.relu6(conv(x, "stem", 2))
    found = []
    for i, (stride, expansion, width, out) in enumerate(blocks(stages)):
        y = F.relu6(conv(x, f"blocks.{i}.expand")) if expansion > 1 else x
        y = conv(F.relu6(conv(y, f"blocks.{i}.depthwise", stride)), f"blocks.{i}.project")
        x = x + y if stride == 1 and width == out else y
        found.append(x)
    return [*found, F.relu6(conv(x, "head"))]


def statistics(maps):
    """Means and log deviations of whole maps, ``(N, S)``."""
    means = [tap.mean((2, 3)) for tap in maps]
    deviations = [(tap.var((2, 3), correction=0) + EPS).log() / 2 for tap in maps]
    return torch.cat([*means, *deviations], dim=1)


def local_statistics(maps, rows, columns):
    """Means and log deviations around each cell of 32 px, ``(N, h, w, S)``, window by window."""
    means = []
    deviations = []
    for tap, side in zip(maps, [16, 8, 8, 4, 4, *[2] * 6, *[1] * 6], strict=True):
        cells = tap[:, :, : rows * side, : columns * side]
        mean, square = (F.avg_pool2d(x, 3 * side, side, side, False, False) for x in (cells, cells.square()))
        means.append(mean)
        deviations.append((square - mean.square() + EPS).log() / 2)
    return torch.cat([*means, *deviations], dim=1).permute(0, 2, 3, 1)


def feature(tensors, values):
    """Statistics ``(…, S)`` to unit features ``(…, D)``, by mini's layers."""

    def load(name):
        return tensors[f"visual.{name}"].to(values.dtype)

    x = (values - load("statistics.mean")) / load("statistics.scale")
    x = F.linear(x, load("answers.weight"), load("answers.bias"))
    x = F.linear(x, load("hidden.weight"), load("hidden.bias")).relu()
    return F.normalize(F.linear(x, load("proj.weight"), load("proj.bias")), dim=-1)
