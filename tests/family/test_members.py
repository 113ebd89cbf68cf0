"""The family in pyiqa: who is built, published values, other files, small photos, the loss."""

import importlib
from functools import partial

import pyiqa
import pytest
import torch
from pyiqa.utils.registry import Registry
from safetensors.torch import save_file
from tensors import normal, uniform

from clipiqa_pyiqa import plugin
from clipiqa_pyiqa.clip.model import ImageTower
from clipiqa_pyiqa.family import MEMBERS, LAIONAes

pytest_plugins = ["weights_fakes"]


@pytest.fixture
def laion(empty_tower):
    return partial(LAIONAes, clip_weights=empty_tower("ViT-L/14"), quick_gelu=True)


def test_layers_of_a_laion_head_are_in_the_order_of_their_numbers(laion, tmp_path):
    layers = {"layers.0": torch.ones(2, 768), **{f"layers.{n}": torch.eye(2) for n in range(1, 10)}}
    head = {f"{name}.weight": weight for name, weight in {**layers, "layers.10": torch.ones(1, 2)}.items()}
    head |= {name.replace("weight", "bias"): torch.zeros(len(weight)) for name, weight in head.items()}
    save_file(head, tmp_path / "head.safetensors")  # which sorts names as texts
    assert laion(pretrained_model_path=tmp_path / "head.safetensors").score(torch.eye(768)[:1]).item() == 2


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


def test_a_metric_says_whether_its_tower_gets_inputs_of_a_fixed_size(metric, monkeypatch):
    sizes = set()
    call = ImageTower.encode
    monkeypatch.setattr(ImageTower, "encode", lambda self, x, *more: sizes.add(x.shape[2:]) or call(self, x, *more))
    for size in ((224, 230), (256, 288)):
        metric.net.encode_unchecked(uniform(1, 3, *size))
    assert (len(sizes) == 1) == metric.net.has_fixed_input
