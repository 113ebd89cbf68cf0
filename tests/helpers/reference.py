"""What ours is compared with: CLIP-IQA made of pyiqa's towers, pyiqa's own classes, and its trainer."""

import importlib
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import open_clip
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensors import normal
from torch import nn

from clipiqa_pyiqa.family import MEMBERS


def builtin_module(monkeypatch, weights):
    """The module of pyiqa's own class, which gets its weights from a file."""
    pytest.importorskip("clip", reason="pyiqa's built-in needs openai's clip, which needs setuptools<82")
    from pyiqa.archs import clip_model, clipiqa_arch

    monkeypatch.setattr(clipiqa_arch, "load", lambda *_: clip_model.build_model(load_file(weights)).float())
    return clipiqa_arch


class Reference(nn.Module):
    """CLIP-IQA assembled from pyiqa's towers, the way its built-in class uses them, for any prompts."""

    def __init__(self, path, dtype=torch.float32):
        super().__init__()
        from pyiqa.archs.clip_model import build_model
        from pyiqa.archs.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

        self.clip = build_model(load_file(path)).to(dtype).requires_grad_(False)
        self.mean, self.std = (torch.tensor(v).view(1, 3, 1, 1).to(dtype) for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))

    def features(self, x, pos_embedding=False):
        features = self.clip.encode_image((x - self.mean) / self.std, pos_embedding=pos_embedding)
        return features / features.norm(dim=-1, keepdim=True)

    def forward(self, x, texts, pos_embedding=False):
        tokens = open_clip.tokenizer.SimpleTokenizer()(texts)
        logits, _ = self.clip((x - self.mean) / self.std, tokens, pos_embedding=pos_embedding)
        return logits.unflatten(1, (-1, 2)).softmax(-1)[..., 0]

    def cosines(self, x, texts, pos_embedding=False):
        """The cosine of each image and each text, ``(N, T)``."""
        tokens = open_clip.tokenizer.SimpleTokenizer()(texts)
        logits, _ = self.clip((x - self.mean) / self.std, tokens, pos_embedding=pos_embedding)
        return logits / self.clip.logit_scale.exp()

    def score64(self, x, pairs, pos_embedding=False):
        """Scores in float64, of which the reference's text tower is not capable: text features ``(P, 2, D)`` come."""
        logits = self.clip.logit_scale.exp() * torch.einsum("nd,psd->nps", self.features(x, pos_embedding), pairs)
        return logits.softmax(-1)[..., 0]


MODULES = {
    "maclip": ("maclip_arch", "MACLIP"),
    "qualiclip": ("qualiclip_arch", "QualiCLIP"),
    "qualiclip+": ("qualiclip_arch", "QualiCLIP"),
    "liqe": ("liqe_arch", "LIQE"),
    "liqe_mix": ("liqe_arch", "LIQE"),
    "laion_aes": ("laion_aes_arch", "LAIONAes"),
    "clipscore": ("clipscore_arch", "CLIPScore"),
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
    from pyiqa.archs.clip_model import build_model

    module_name, kind = MODULES[name]
    module = importlib.import_module(f"pyiqa.archs.{module_name}")
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
            patch.setattr("pyiqa.archs.liqe_arch.DEFAULT_CACHE_DIR", tempfile.mkdtemp(dir=folder))
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


CONFIGS = Path(__file__).parents[2] / "configs/train"


def trainer_options(name, photos, folder, **loader):
    """Return a configuration's options for photos, of which two validate; their table is written to ``folder``."""
    options = yaml.safe_load((CONFIGS / f"{name}.yml").read_text())
    rows = [f"{path.name},{index % 100},{'val' if index < 2 else 'train'}" for index, path in enumerate(photos)]
    (folder / "meta.csv").write_text("img_name,MOS,official_split\n" + "\n".join(rows))
    for split in options["datasets"].values():
        split |= {"meta_info_file": str(folder / "meta.csv"), "dataroot_target": str(photos[0].parent), **loader}
    options["val"] |= {"pbar": False}
    options["logger"] |= {"use_tb_logger": False}
    return options


def run_trainer(options, folder):
    from pyiqa.train import train_pipeline

    (folder / "train.yml").write_text(yaml.safe_dump(options))
    with mock.patch.object(sys, "argv", ["train.py", "-opt", str(folder / "train.yml")]):
        return train_pipeline(str(folder))
