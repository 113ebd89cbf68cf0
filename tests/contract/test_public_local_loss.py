"""The local loss: the mean over places, as cheap in memory as the global one, and harder to please in one corner."""

from contextlib import nullcontext

import pytest
import torch
from assertions import refused
from photos import photo_like
from tensors import grad_of

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa.loss import FORMS, general_path

pytestmark = pytest.mark.slow

TWO = ["sharpness", ("Crisp photo.", "Hazy photo.")]

BACKBONES = ("RN50", "ViT-B/32", "mini")


@pytest.fixture(scope="module", params=BACKBONES)
def metric(request, seeded_weights):
    path = seeded_weights(request.param)
    return CLIPIQA(backbone=request.param, clip_weights=path, quick_gelu=True, prompts=TWO).eval()


def images(n=2, dtype=torch.float32):
    return photo_like(64, 64, n, dtype).requires_grad_()


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("metric, form", [*zip(BACKBONES, FORMS, strict=True)], indirect=["metric"])
def test_it_is_the_mean_of_the_places_losses(metric, form, local):
    """By hand from the scores, with the weights of the prompts; value and gradient in float64."""
    x = images(dtype=torch.float64)
    s = metric.score_map(x) if local else metric(x, aggregate=None)[..., None, None]  # (2, 2, h, w)
    each = {"linear": 1 - s, "nll": -s.log(), "margin": ((1 - s) / s).log()}[form]
    expected = (0.75 * each[:, 0] + 0.25 * each[:, 1]).mean((1, 2))
    loss = CLIPIQALoss(metric=metric, form=form, local=local, prompt_weights=[3, 1], reduction="none")
    torch.testing.assert_close(loss(x), expected)
    (slope,) = torch.autograd.grad(expected.sum(), x)
    for path in (nullcontext, general_path):
        with path():
            assert (grad_of(loss, x) - slope).norm() <= 1e-8 * slope.norm()  # rounding only


def test_cropped_input_has_no_places():
    refused(CLIPIQALoss, local=True, pos_embedding="fixed", backbone="mini")
