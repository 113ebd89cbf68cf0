"""What surrounds a call and must not change its scores: default devices, tracing, export, torch.func."""

import pytest
import torch
from photos import photo_like

from clipiqa_pyiqa import CLIPIQA

IMAGES = photo_like(64, 96, 2)


@pytest.fixture
def elsewhere():
    """Every tensor that names no device is made where none has numbers."""
    with torch.device("meta"):
        yield


def test_scores_under_another_default_device(elsewhere):
    scores = CLIPIQA(backbone="mini", prompts=["quality", "sharpness"], precision="bf16")(IMAGES)
    assert scores.device.type == "cpu" and scores.isfinite().all()


def test_learned_prompts_under_another_default_device(elsewhere):
    for init in ["x", "random"]:
        metric = CLIPIQA("clipiqa+", backbone="mini", pretrained=False, context={"init": init}).train()
        metric(IMAGES).sum().backward()
        assert metric.prompt_learner.ctx.grad.abs().sum() > 0


@pytest.mark.quick
def test_grey_images_are_three_equal_channels():
    grey = IMAGES[:, :1].clone().requires_grad_()
    metric = CLIPIQA(backbone="mini").eval()
    score = metric(grey)
    assert torch.equal(score, metric(IMAGES[:, :1].repeat(1, 3, 1, 1).requires_grad_()))
    score.sum().backward()
    assert grey.grad.shape == grey.shape and grey.grad.abs().sum() > 0
