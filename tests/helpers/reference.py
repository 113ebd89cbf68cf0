"""CLIP-IQA made of pyiqa's towers, which are the official code's to the last bit: what ours is compared with."""

import open_clip
import pytest
import torch
from safetensors.torch import load_file
from torch import nn


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
