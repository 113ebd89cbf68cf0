"""A small seeded checkpoint in the compact format, with random but well-behaved weights, and mini's tower once more.

Every weight is fp16-representable, as in a file. Convolutions are scaled so that activations spread over ReLU6's whole
range, and the statistics are measured on random images, so that standardised ones are of order one.
"""

import json
import math

import torch
import torch.nn.functional as F
from open_clip.transformer import TextTransformer
from safetensors.torch import save_file
from seeded import _calibration_images

from clipiqa_pyiqa.clip.tokenizer import tokenizer

STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
"""Repeats, kernel, stride of the first, expansion and output channels of the stages of mini, an EfficientNet-Lite0."""
SMALL = ((1, 3, 1, 1, 16), (1, 5, 2, 6, 320))
STEM, HEAD, EPS, FEATURES, TEXT = 32, 1280, 1e-4, 64, 64
PROMPTS = {
    "quality": [["Good photo.", "X X X X X X X X X X X X X X X X Good photo.."], ["Bad photo."]],
    "brightness": [["Bright photo."], ["Dark photo."]],
    "noisiness": [["Clean photo."], ["Noisy photo."]],
    "colorfulness": [["Colorful photo."], ["Dull photo."]],
    "sharpness": [["Sharp photo."], ["Blurry photo."]],
    "contrast": [["High contrast photo."], ["Low contrast photo."]],
}


def blocks(stages):
    """Kernel, stride, expansion, input and output channels of each block."""
    found, width = [], STEM
    for repeats, kernel, stride, expansion, out in stages:
        for i in range(repeats):
            found.append((kernel, stride if i == 0 else 1, expansion, width, out))
            width = out
    return found


def save_compact(path):
    """Write a seeded compact checkpoint."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape, std=1.0):
        return torch.randn(shape, generator=generator) * std

    tensors = _random_trunk(normal)
    with torch.no_grad():
        values = statistics(taps(tensors, (255 * (_calibration_images() * 0.27 + 0.45) - 127) / 128, SMALL))
    count = values.shape[1]
    tensors["visual.statistics.mean"], tensors["visual.statistics.scale"] = values.mean(0), values.std(0) + 0.05
    tensors["visual.proj.weight"] = normal(FEATURES, count, std=count**-0.5)
    tensors["visual.proj.bias"] = normal(FEATURES, std=0.1)
    ids = sorted({49406, 49407} | {t for axis in PROMPTS.values() for side in axis for text in side
                                   for t in tokenizer().encode(text)})  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        text = TextTransformer(width=TEXT, heads=1, layers=2, vocab_size=len(ids), output_dim=FEATURES)
    tensors |= {**text.state_dict(), "logit_scale": torch.tensor(math.log(100.0))}
    architecture = {"stages": SMALL, "stem": STEM, "head": HEAD, "statistics_eps": EPS, "cell": 32,
                    "answers": 0, "hidden": 0, "embed_dim": FEATURES}  # fmt: skip
    metadata = {"format": "clipiqa-mini/2", "architecture": json.dumps(architecture), "prompts": json.dumps(PROMPTS),
                "token_ids": json.dumps(ids)}  # fmt: skip
    wide = ("visual.statistics.mean", "visual.statistics.scale")
    save_file({k: (v.float() if k in wide else v.half()).contiguous() for k, v in tensors.items()}, path, metadata)
    return path


def _random_trunk(normal):
    tensors = {}

    def conv(name, out, into, kernel, gain):
        tensors[f"visual.{name}.weight"] = normal(out, into, kernel, kernel, std=gain * (into * kernel**2) ** -0.5)
        tensors[f"visual.{name}.bias"] = 1.0 + normal(out, std=0.5) if gain > 1 else normal(out, std=0.3)

    conv("stem", STEM, 3, 3, 3.0)
    for i, (kernel, _, expansion, width, out) in enumerate(blocks(SMALL)):
        if expansion > 1:
            conv(f"blocks.{i}.expand", expansion * width, width, 1, 2.0)
        conv(f"blocks.{i}.depthwise", expansion * width, 1, kernel, 1.5)
        conv(f"blocks.{i}.project", out, expansion * width, 1, 0.6)
    conv("head", HEAD, 320, 1, 2.0)
    return {key: value.half().float() for key, value in tensors.items()}


# The tower by plain operations, for normalised pixels


def taps(tensors, x, stages=STAGES):
    """Every block's output and the head's."""

    def conv(x, name, stride=1):
        weight, bias = (tensors[f"visual.{name}.{kind}"].to(x.dtype) for kind in ("weight", "bias"))
        kernel, groups = weight.shape[-1], weight.shape[0] if weight.shape[1] == 1 else 1
        low = (kernel - stride) // 2
        right, below = (kernel - stride - low + (size % 2 if stride == 2 else 0) for size in (x.shape[3], x.shape[2]))
        return F.conv2d(F.pad(x, (low, right, low, below)), weight, bias, stride, groups=groups)

    x, found = F.relu6(conv(x, "stem", 2)), []
    for i, (_, stride, expansion, width, out) in enumerate(blocks(stages)):
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
    means, deviations = [], []
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
