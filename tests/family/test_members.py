"""The family in pyiqa: who is built, published values, other files, small photos, the loss."""

import importlib
import re
from functools import partial

import pyiqa
import pytest
import torch
from assertions import refused
from pyiqa.utils.registry import Registry
from safetensors.torch import save_file
from tensors import normal, uniform

from clipiqa_pyiqa import CLIPIQAError, CLIPIQALoss, plugin
from clipiqa_pyiqa.clip.model import ImageTower
from clipiqa_pyiqa.family import LIQE, MEMBERS, CLIPScore, LAIONAes

pytest_plugins = ["weights_fakes"]

TOWERS = {  # what is looked for first
    "maclip": "RN50.safetensors",
    "qualiclip": "QualiCLIP.pth",
    "liqe": "liqe_koniq.pt",
    "laion_aes": "ViT-L-14.safetensors",
    "clipscore": "ViT-B-32.safetensors",
}


@pytest.fixture
def laion(empty_tower):
    return partial(LAIONAes, clip_weights=empty_tower("ViT-L/14"), quick_gelu=True)


def test_layers_of_a_laion_head_are_in_the_order_of_their_numbers(laion, tmp_path):
    layers = {"layers.0": torch.ones(2, 768), **{f"layers.{n}": torch.eye(2) for n in range(1, 10)}}
    head = {f"{name}.weight": weight for name, weight in {**layers, "layers.10": torch.ones(1, 2)}.items()}
    head |= {name.replace("weight", "bias"): torch.zeros(len(weight)) for name, weight in head.items()}
    save_file(head, tmp_path / "head.safetensors")  # which sorts names as texts
    assert laion(pretrained_model_path=tmp_path / "head.safetensors").score(torch.eye(768)[:1]).item() == 2


@pytest.mark.parametrize("name", MEMBERS)
def test_pyiqa_builds_ours_or_says_what_to_fetch(name, monkeypatch, home):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    file = re.escape(TOWERS.get(name.partition("+")[0], f"{name}.pt"))
    with pytest.raises(CLIPIQAError, match=rf"https?://\S+: save it as {home}/\S*/{file}, "):
        pyiqa.create_metric(name, device="cpu")


@pytest.mark.parametrize("kind", [kind for kind in plugin.BUILTIN_MODULES if kind != plugin.NAME])
def test_pyiqas_own_classes_stay_available(kind, monkeypatch):
    pytest.importorskip("clip", reason="pyiqa's classes need openai's clip and 'setuptools<82'")
    module = importlib.import_module(plugin.BUILTIN_MODULES[kind])
    monkeypatch.setattr(module, kind, lambda **_: torch.nn.Identity())
    (name, *_) = [name for name, ours in MEMBERS.items() if ours.__name__ == kind]
    assert isinstance(pyiqa.create_metric(name, device="cpu", type=f"{kind}_builtin").net, torch.nn.Identity)
    for value, ours in (("1", False), ("0", True)):
        registry = Registry("test")
        monkeypatch.setattr(plugin, "ARCH_REGISTRY", registry)
        monkeypatch.setenv(plugin.BUILTIN_VARIABLE, value)
        plugin.register()
        assert (kind in registry) == ours and f"{kind}_builtin" in registry


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


def test_a_metric_says_whether_its_tower_gets_inputs_of_a_fixed_size(metric, monkeypatch):
    sizes = set()
    call = ImageTower.__call__
    monkeypatch.setattr(ImageTower, "__call__", lambda self, x, *more: sizes.add(x.shape[2:]) or call(self, x, *more))
    for size in ((224, 230), (256, 288)):
        metric.net.encode_unchecked(uniform(1, 3, *size))
    assert (len(sizes) == 1) == metric.net.has_fixed_input


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
