"""Every member of the family beside pyiqa's own class, on the same seeded weights and real photos of odd sizes."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pyiqa.archs.clip_model import LayerNorm, build_model
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.transforms import Normalize

import clipiqa_pyiqa
from clipiqa_pyiqa.family import create_member

pytest.importorskip("clip", reason="pyiqa's classes need openai's clip and 'setuptools<82'")
from pyiqa.archs import clipscore_arch, laion_aes_arch, liqe_arch, maclip_arch, qualiclip_arch

PHOTOS = sorted((Path(clipiqa_pyiqa.__file__).parent / "data/photos").glob("*.jpg"))
MODULES = {
    "maclip": (maclip_arch, "MACLIP"),
    "qualiclip": (qualiclip_arch, "QualiCLIP"),
    "qualiclip+": (qualiclip_arch, "QualiCLIP"),
    "liqe": (liqe_arch, "LIQE"),
    "liqe_mix": (liqe_arch, "LIQE"),
    "laion_aes": (laion_aes_arch, "LAIONAes"),
    "clipscore": (clipscore_arch, "CLIPScore"),
}
TOLERANCE = {
    "maclip": 5e-5,
    "liqe": 8e-4,
    "liqe_mix": 8e-4,
    "laion_aes": 2e-4,
}  # 2e-4 of liqe's range of 4; 9 of LAION's
CAPTIONS = ["a building with arches", "two otters " + "in the water " * 40]


@pytest.fixture(scope="module")
def make(
    seeded_weights: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[nn.Module, nn.Module]]:
    """``make(name)`` -> our metric and pyiqa's on the same weights."""

    def pair(name: str) -> tuple[nn.Module, nn.Module]:
        module, kind = MODULES[name]
        folder = tmp_path_factory.mktemp("files")
        backbone = "RN50" if kind in ("MACLIP", "QualiCLIP") else "ViT-B/32"
        path = seeded_weights(backbone)
        tower = build_model({key: value.clone() for key, value in load_file(path).items()}).float().eval()
        options: dict[str, Any] = {"clip_weights": path}
        own: dict[str, Any] = {"model_type": name}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "load", lambda *_, **__: copy.deepcopy(tower), raising=False)
            patch.setattr(torch.Tensor, "cuda", lambda self: self)
            patch.setattr(torch.Tensor, "to", _to(torch.Tensor.to))
            torch.manual_seed(0)
            if kind == "QualiCLIP":
                state = {f"clip_model.{key}": value for key, value in tower.state_dict().items()}
                features = nn.functional.normalize(torch.randn(14, 1024), dim=1)
                options["clip_weights"] = folder / "QualiCLIP.pth"
                torch.save({**state, "prompts_features": features}, options["clip_weights"])
                patch.setattr(module, "load_file_from_url", lambda *_: str(options["clip_weights"]))
                own["pretrained"] = False
            elif kind == "LIQE":
                patch.setattr(liqe_arch, "DEFAULT_CACHE_DIR", str(folder))
                file = folder / "liqe.pt"
                torch.save({"params": {f"clip_model.{k}": v for k, v in tower.state_dict().items()}}, file)
                options = {"pretrained_model_path": file}
                own |= {"pretrained": "mix" if name == "liqe_mix" else "koniq", "pretrained_model_path": str(file)}
            elif kind in ("LAIONAes", "CLIPScore"):
                patch.setattr(module, "clip", _clip(module, tower))
                own = {"pretrained": False} if kind == "LAIONAes" else {}
            with torch.no_grad():  # liqe_mix encodes 495 texts, with 21 GB of activations for a gradient
                theirs = getattr(module, kind)(**own).eval()
            if name == "qualiclip+":
                options["pretrained_model_path"] = folder / "plus.pth"
                torch.save({"params": theirs.state_dict()}, options["pretrained_model_path"])
            elif name == "laion_aes":
                options |= {"backbone": "ViT-B/32", "pretrained_model_path": folder / "head.pth"}
                torch.save(theirs.mlp.state_dict(), options["pretrained_model_path"])
        if "clip_weights" in options:
            options["quick_gelu"] = True
        return create_member(name, **options).eval(), theirs

    return pair


def _to(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda self, *args, **options: original(self, *("cpu" if arg == "cuda" else arg for arg in args), **options)


def _clip(module: ModuleType, tower: nn.Module) -> Any:
    class Clip:
        tokenize = staticmethod(module.clip.tokenize)

        @staticmethod
        def load(*_: Any) -> tuple[nn.Module, None]:
            model = copy.deepcopy(tower)
            model.visual.input_resolution, model.visual.output_dim = 224, 512
            encode = model.encode_image
            model.encode_image = lambda x: encode(x, True)  # openai's own always adds the positional embedding
            return model, None

    return Clip


def photo(index: int, height: int, width: int) -> Tensor:
    pixels = np.array(Image.open(PHOTOS[index]).convert("RGB").resize((width + 60, height + 40)))
    return torch.from_numpy(pixels[:height, :width].copy()).permute(2, 0, 1)[None].float() / 255


LONG = ("qualiclip+", "liqe_mix")  # as qualiclip and liqe, with other texts


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.long if each in LONG else ()) for each in MODULES]
)
def test_equals_pyiqas(make, name, monkeypatch):
    ours, theirs = make(name)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    monkeypatch.setattr(torch.Tensor, "to", _to(torch.Tensor.to))
    x = torch.cat([photo(0, 379, 501), photo(1, 379, 501)])
    captions = {"caption_list": CAPTIONS} if name == "clipscore" else {}
    with torch.no_grad():
        found = ours(x, **captions)
        if name == "maclip":
            expected = torch.stack([theirs(image) for image in x.split(1)])[:, None]
        else:
            expected = theirs(x, **captions)
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, atol=TOLERANCE.get(name, 2e-5), rtol=0)
        for index, image in enumerate(x.split(1)):
            single = ours(image, **{key: value[index : index + 1] for key, value in captions.items()})
            torch.testing.assert_close(found[index : index + 1], single, atol=2e-6, rtol=2e-6)
    single = {key: value[:1] for key, value in captions.items()}
    crop = x[:1, :, :250, :290]
    fp32 = gradient_of(ours, crop, single)
    monkeypatch.setattr(LayerNorm, "forward", nn.LayerNorm.forward)  # pyiqa's casts to fp32, as .float() does
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    monkeypatch.setattr(maclip_arch, "Normalize", rounded_normalize)
    found, expected = (gradient_of(net, crop.double(), single) for net in (ours, in_float64(theirs)))
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=0)
    assert (fp32 - expected).abs().median() < 2e-3 * expected.abs().median() != 0


def gradient_of(net: nn.Module, x: Tensor, options: dict[str, Any]) -> Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(net(leaf, **options).sum(), leaf)[0]


def rounded_normalize(*constants: tuple[float, ...]) -> Normalize:
    """Return the normalisation with constants rounded to fp32, as all other metrics have them."""
    return Normalize(*(torch.tensor(values).tolist() for values in constants))


def in_float64(theirs: nn.Module) -> nn.Module:
    """Turn pyiqa's metric, with what it keeps in lists and of texts, into float64."""
    theirs.double()
    if isinstance(theirs.clip_model, list):
        theirs.clip_model[0].double()
    if isinstance(theirs, qualiclip_arch.QualiCLIP):
        theirs.prompts_features = theirs.prompts_features.double()
    if isinstance(theirs, maclip_arch.MACLIP):  # which adds 1e-6 to the deviation of features of any length
        theirs.box_cox = functools.partial(theirs.box_cox, epsilon=0)
    if isinstance(theirs, liqe_arch.LIQE):
        theirs.text_features = theirs.get_text_features(theirs.joint_texts).detach()
    return theirs
