"""A metric of the family and pyiqa's own class on the same seeded weights; needs openai's clip and 'setuptools<82'."""

import tempfile
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from draws import normal
from pyiqa.archs import clipscore_arch, laion_aes_arch, liqe_arch, maclip_arch, qualiclip_arch
from pyiqa.archs.clip_model import build_model
from safetensors.torch import load_file
from torch import nn

from clipiqa_pyiqa.family import MEMBERS

MODULES = {
    "maclip": (maclip_arch, "MACLIP"),
    "qualiclip": (qualiclip_arch, "QualiCLIP"),
    "qualiclip+": (qualiclip_arch, "QualiCLIP"),
    "liqe": (liqe_arch, "LIQE"),
    "liqe_mix": (liqe_arch, "LIQE"),
    "laion_aes": (laion_aes_arch, "LAIONAes"),
    "clipscore": (clipscore_arch, "CLIPScore"),
}


def backbone_of(name):
    """Return the backbone that :func:`builders` expects; of ``laion_aes`` one that is quick to test."""
    return "RN50" if MODULES[name][1] in ("MACLIP", "QualiCLIP") else "ViT-B/32"


def builders(name, weights, folder, backbone=""):
    """Return functions that build our metric and pyiqa's, whose files are written into an empty folder.

    Args:
        name: pyiqa's name.
        weights: of ``seeded.save_seeded``.
        folder: for the files.
        backbone: default :func:`backbone_of`.
    """
    module, kind = MODULES[name]
    ours = {"clip_weights": weights, "quick_gelu": True}
    theirs = {"model_type": name}

    def tower(*_, **__):
        return build_model(load_file(weights)).float().eval()

    def build():
        with pytest.MonkeyPatch.context() as patch, on_cpu(), torch.no_grad():
            patch.setattr(module, "load", tower, raising=False)
            if kind in ("LAIONAes", "CLIPScore"):
                patch.setattr(module, "clip", _clip(module, tower))
            if kind == "QualiCLIP":
                patch.setattr(module, "load_file_from_url", lambda *_: str(ours["clip_weights"]))
            patch.setattr(liqe_arch, "DEFAULT_CACHE_DIR", tempfile.mkdtemp(dir=folder))
            torch.manual_seed(0)
            return getattr(module, kind)(**theirs).eval()

    if kind == "QualiCLIP":
        state = {f"clip_model.{key}": value for key, value in tower().state_dict().items()}
        features = nn.functional.normalize(normal(14, 1024), dim=1)
        ours["clip_weights"] = folder / "QualiCLIP.pth"
        torch.save({**state, "prompts_features": features}, ours["clip_weights"])
        theirs["pretrained"] = False
    elif kind == "LIQE":
        file = folder / "liqe.pt"
        torch.save({"params": {f"clip_model.{key}": value for key, value in tower().state_dict().items()}}, file)
        ours = {"pretrained_model_path": file}
        theirs |= {"pretrained": "mix" if name == "liqe_mix" else "koniq", "pretrained_model_path": str(file)}
    elif kind in ("LAIONAes", "CLIPScore"):
        theirs = {"pretrained": False} if kind == "LAIONAes" else {}
    if name in ("qualiclip+", "laion_aes"):
        net = build()
        ours["pretrained_model_path"] = folder / "own.pth"
        torch.save({"params": net.state_dict()} if name == "qualiclip+" else net.mlp.state_dict(), folder / "own.pth")
        ours["backbone"] = backbone or backbone_of(name)
    return lambda: MEMBERS[name](name, **ours).eval(), build


@contextmanager
def on_cpu():
    """Let ``.cuda()`` and ``.to('cuda')`` of tensors, which pyiqa's MACLIP calls, leave them where they are."""
    to = torch.Tensor.to

    def to_cpu(self, *args, **options):
        return to(self, *("cpu" if arg == "cuda" else arg for arg in args), **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "cuda", lambda self: self)
        patch.setattr(torch.Tensor, "to", to_cpu)
        yield


def _clip(module, tower):
    def load(*_):
        model = tower()
        model.visual.input_resolution, model.visual.output_dim = 224, model.text_projection.shape[1]
        encode = model.encode_image
        model.encode_image = lambda x: encode(x, True)  # openai's own always adds the positional embedding
        return model, None

    return SimpleNamespace(tokenize=module.clip.tokenize, load=load)
