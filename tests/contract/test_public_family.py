"""The family in pyiqa: who is built, published values, other files, small photos, the loss."""

import re

import pyiqa
import pytest
import torch
from assertions import refused
from tensors import normal, uniform

from clipiqa_pyiqa import CLIPIQAError, CLIPIQALoss
from clipiqa_pyiqa.family import LIQE, MEMBERS, CLIPScore

pytest_plugins = ["weights_fakes"]

TOWERS = {  # what is looked for first
    "maclip": "RN50.safetensors",
    "qualiclip": "QualiCLIP.pth",
    "liqe": "liqe_koniq.pt",
    "laion_aes": "ViT-L-14.safetensors",
    "clipscore": "ViT-B-32.safetensors",
}


@pytest.mark.parametrize("name", MEMBERS)
def test_pyiqa_builds_ours_or_says_what_to_fetch(name, monkeypatch, home):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    file = re.escape(TOWERS.get(name.partition("+")[0], f"{name}.pt"))
    with pytest.raises(CLIPIQAError, match=rf"https?://\S+: save it as {home}/\S*/{file}, "):
        pyiqa.create_metric(name, device="cpu")


@pytest.fixture(params=["maclip", "liqe", "laion_aes", "clipscore"])
def metric(request, seeded_weights, tmp_path):
    """pyiqa's metric on seeded weights, as a loss."""
    name = request.param
    weights = seeded_weights("RN50" if name == "maclip" else "ViT-B/32")
    options = {"pretrained_model_path": weights} if name == "liqe" else {"clip_weights": weights, "quick_gelu": True}
    if name == "laion_aes":
        options |= {"backbone": "ViT-B/32", "pretrained_model_path": tmp_path / "head.pth"}
        head = {"weight": normal(1, 512), "bias": torch.zeros(1)}
        torch.save(head, options["pretrained_model_path"])
    return pyiqa.create_metric(name, device="cpu", as_loss=True, **options)


@pytest.fixture
def images():
    return uniform(1, 3, 224, 230).repeat(2, 1, 1, 1).requires_grad_()


@pytest.mark.slow
def test_our_loss_takes_metrics_without_captions(metric, images):
    if metric.net.has_captions:
        refused(CLIPIQALoss, criterion=metric.net)
        return
    low, high = metric.net.score_range
    expected = (high - metric.net(images).mean()) / (high - low)
    torch.testing.assert_close(CLIPIQALoss(criterion=metric.net)(images), expected)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_mistyped_model_type_is_refused_before_anything_is_looked_for(name):
    assert "model_type" in refused(MEMBERS[name], f"{name}q")


def test_options_that_would_have_no_effect_are_refused():
    assert "both name" in refused(LIQE, clip_weights="a.pt", pretrained_model_path="b.pt")
    assert "model_type" in refused(LIQE, "liqex", pretrained="mix")
    assert "take 'liqe'" in refused(LIQE, "liqe_mix", pretrained="koniq")
    for pretrained in (False, "kadid"):
        assert "pretrained" in refused(LIQE, pretrained=pretrained)
    for options in ({"w": -1}, {"w": "a"}, {"prefix": 3}):
        assert next(iter(options)) in refused(CLIPScore, **options)


def test_small_images_and_too_few_captions_are_refused(metric, images):
    small = images[:, :, :200]
    if metric.net.has_captions:
        assert "got 1 captions for 2 images" in refused(metric.net, images, caption_list=["one"])
        assert "texts; got 1" in refused(metric.net, images, caption_list=[1, 2])
    elif metric.net.model_type == "laion_aes":
        assert metric.net(small).shape == (2, 1)  # it resizes images
    else:
        refused(metric.net, small)
