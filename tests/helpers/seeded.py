"""Seeded checkpoints for tests: CLIP's architectures, and a small one in the compact format.

Every weight is fp16-representable, since OpenAI's are and pyiqa's ``clip_model`` rounds to fp16; BatchNorm statistics
are measured on random images, so that activations neither vanish nor explode and the ReLUs split about half and half.
"""

import json
import math

import open_clip
import torch
import torch.nn.functional as F
from open_clip.factory import _MODEL_CONFIGS
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tensors import normal
from torch import nn

from clipiqa_pyiqa.weights.published import MINI_FILE

LAYERS = {"RN50": (([3, 4, 6, 3], 12), ([1, 2, 1, 1], 2)), "ViT-B-32": ((12, 12), (2, 2))}
"""Layers of the image and the text tower: CLIP's, and few, which hold each kind of layer and a sequence of two."""


def set_depth(few):
    """From now on RN50 and ViT-B/32 have few layers, or CLIP's, in open_clip and for the package, which asks it."""
    from clipiqa_pyiqa.weights.finding import shapes_of

    for name, layers in LAYERS.items():
        for config in (_MODEL_CONFIGS[name], _MODEL_CONFIGS[f"{name}-quickgelu"]):
            config["vision_cfg"]["layers"], config["text_cfg"]["layers"] = layers[few]
    shapes_of.cache_clear()


def save_seeded(folder, backbone="RN50"):
    """Write a seeded checkpoint with OpenAI's key names as an fp16 safetensors file and return its path."""
    name = backbone.replace("/", "-")
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = open_clip.create_model(f"{name}-quickgelu", pretrained=None, force_quick_gelu=True).train()
        model.logit_scale.fill_(math.log(100))  # as in every published CLIP; open_clip starts from 1 / 0.07
        if backbone.startswith("RN"):
            _calibrate(model.visual)
    tensors = {key: value.half().contiguous() for key, value in model.state_dict().items() if "num_batches" not in key}
    save_file(tensors, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def _calibrate(visual):
    """Seed the BatchNorms, measure their statistics on random images, and give the attention pool moderate logits."""
    for name, norm in visual.named_modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None  # a plain average over the calibration images
            norm.reset_running_stats()
            top = 0.4 if name.endswith("bn3") else 1.0  # small residual branches keep the sum of sixteen in range
            norm.weight.uniform_(top / 2, top)
            norm.bias.normal_(0, 0.1)
    images = _calibration_images()
    pool = visual.attnpool
    visual(images)
    x = visual.eval().forward_intermediates(images, indices=[4], intermediates_only=True)["image_intermediates"][0]
    tokens = x.flatten(2).transpose(1, 2)
    query = pool.q_proj(tokens.mean(1)).unflatten(-1, (-1, 64))
    keys = pool.k_proj(tokens).unflatten(-1, (-1, 64))
    logits = torch.einsum("nhd,nlhd->nhl", query, keys) / 8
    pool.q_proj.weight.mul_(0.05 / logits.std())  # real photos excite the deep layers some fifty times more


def _calibration_images():
    """Random images with a photo's statistics (1/f spectrum, grey rather than colourful): (8, 3, 224, 224)."""
    image = torch.zeros(8, 3, 224, 224)
    for side in (2, 4, 8, 16, 32, 64, 128):
        octave = torch.randn(8, 1, side, side) + 0.3 * torch.randn(8, 3, side, side)
        image += nn.functional.interpolate(octave, size=224, mode="bilinear") / side**0.5
    return (0.45 + 0.3 * image).clamp(0, 1).sub(0.45) / 0.27


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
