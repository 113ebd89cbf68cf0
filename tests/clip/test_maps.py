"""Maps of unit features: equal to the reference in float64, with a gradient, whole and in strips, in any dtype."""

import functools

import open_clip
import pytest
import torch
import torch.nn.functional as F
from photos import photo_like
from safetensors.torch import load_file
from tensors import assert_close, normal

from clipiqa_pyiqa.clip.resnet import resize_rows
from clipiqa_pyiqa.loss import general_path

SIZES = [(64, 96), (95, 130)]


@functools.lru_cache(maxsize=2)
def open_clips(backbone, path):
    """open_clip's own image tower, in float64."""
    model = open_clip.create_model(backbone.replace("/", "-") + "-quickgelu").eval().double()
    model.load_state_dict({key: value.double() for key, value in load_file(path).items()})
    return model.visual.requires_grad_(False)


def reference(metric, x):
    """The unit features of every place by open_clip's own modules, each asked at that place alone."""
    weights = metric.clip.weights
    visual = open_clips(weights.backbone, weights.path)
    interpolated = metric.pos_embedding == "interpolate"
    x = (x - torch.tensor(weights.mean).view(-1, 1, 1)) / torch.tensor(weights.std).view(-1, 1, 1)
    if weights.backbone.startswith("RN"):
        (y,) = visual.forward_intermediates(x, [4], intermediates_only=True)["image_intermediates"]
        pool = visual.attnpool
        tokens = y.flatten(2).transpose(1, 2)
        if interpolated:
            tokens = tokens + resize_rows(pool.positional_embedding, tokens.shape[1] + 1)[1:]
        found = pool.c_proj(pool.v_proj(tokens))
    else:
        y = visual.conv1(x)
        tokens = torch.cat([visual.class_embedding.expand(len(x), 1, -1), y.flatten(2).transpose(1, 2)], dim=1)
        if interpolated:
            tokens = tokens + resize_rows(visual.positional_embedding, tokens.shape[1])
        tokens = visual.ln_pre(tokens)
        *blocks, last = visual.transformer.resblocks
        for block in blocks:
            tokens = block(tokens)
        rest = tokens[:, 1:].flatten(0, 1)[:, None]  # (N, L, C) -> (N L, 1, C): sequences of one token
        found = visual.ln_post(last(rest)).unflatten(0, (len(x), -1))[:, :, 0] @ visual.proj
    return F.normalize(found, dim=-1).transpose(1, 2).unflatten(2, y.shape[2:])


@pytest.mark.parametrize("pos_embedding", ["none", "interpolate"])
@pytest.mark.parametrize("backbone", ["RN50", "ViT-B/32"])
@pytest.mark.slow
def test_maps_equal_open_clips_modules_in_float64(make, backbone, pos_embedding):
    """Map and gradient, at sizes with and without remainders. (mini: tests/weights/test_mini.py)"""
    metric = make(backbone, pos_embedding=pos_embedding)
    for size in SIZES:
        x = photo_like(*size, dtype=torch.float64).requires_grad_()
        with torch.no_grad():
            without_gradient = metric.encode_map(x)
        theirs = reference(metric, x)
        direction = normal(theirs.shape, seed=1, dtype=theirs.dtype)
        (expected,) = torch.autograd.grad((theirs * direction).sum(), x)
        for path in (torch.enable_grad, general_path):
            with path():
                ours = metric.encode_map(x)
                (slope,) = torch.autograd.grad((ours * direction).sum(), x)
            for each in (ours, without_gradient):
                assert_close(each, theirs, atol=1e-8)
            assert (slope - expected).norm() <= 1e-8 * expected.norm()  # rounding only
