"""Maps of unit features: equal to the reference in float64, with a gradient, whole and in strips, in any dtype."""

import functools

import open_clip
import pytest
import torch
import torch.nn.functional as F
from assertions import refused
from photos import photo_like
from safetensors.torch import load_file
from tensors import assert_close, normal

from clipiqa_pyiqa.clip.resnet import resize_rows
from clipiqa_pyiqa.loss import general_path

SIZES = [(64, 96), (95, 130)]
PAIRS = ["sharpness", "noisiness", ("Crisp photo.", "Hazy photo.")]


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


@pytest.mark.parametrize(
    "backbone", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("RN50", "ViT-B/32")), "mini"]
)
def test_a_place_gets_the_score_of_its_feature(make, backbone):
    """Every place asked as an image would be; of a batch as of single images; beside them the image's features."""
    metric = make(backbone)
    x = photo_like(96, 160, n=2)
    with torch.no_grad():
        features, cells = metric.encode_with_map(x)
        assert_close(features, metric.encode_image(x), atol=1e-6)
        singles = torch.cat([metric.encode_map(image) for image in x.split(1)])
        assert_close(cells, singles, atol=2e-6)
        scores = metric.score_map(x, PAIRS)
        assert scores.shape == (2, 3, 3, 5)
        place = metric.score(cells[:, :, 1, 3], PAIRS, aggregate=None)
        assert_close(scores[:, :, 1, 3], place, atol=1e-6)
        torch.testing.assert_close(metric.score(cells, PAIRS), scores.mean(1, keepdim=True))


def test_a_metric_or_an_image_without_a_map_is_refused(make):
    for metric, width in ((make("mini", pos_embedding="fixed"), 64), (make("mini"), 31)):
        refused(metric.score_map, photo_like(64, width))
