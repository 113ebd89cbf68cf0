"""Seeded CLIP checkpoints for tests: CLIP's architectures, random but well-behaved weights.

Every weight is fp16-representable, since OpenAI's are and pyiqa's ``clip_model`` rounds to fp16; BatchNorm statistics
are measured on random images, so that activations neither vanish nor explode and the ReLUs split about half and half.
"""

import math

import open_clip
import torch
from open_clip.factory import _MODEL_CONFIGS
from safetensors.torch import save_file
from torch import nn

LAYERS = {"RN50": (([3, 4, 6, 3], 12), ([1, 2, 1, 1], 2)), "ViT-B-32": ((12, 12), (2, 2))}
"""Layers of the image and the text tower: CLIP's, and few, which hold each kind of layer and a sequence of two."""


def set_depth(few):
    """From now on RN50 and ViT-B/32 have few layers, or CLIP's, in open_clip and for the package, which asks it."""
    from clipiqa_pyiqa.weights.checkpoint import shapes_of

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
