"""QualiCLIP and QualiCLIP+: seven pairs of texts on a fine-tuned tower."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip.gradient import untraced
from ..clip.text import tokenize
from ..errors import WeightsError
from ..files.hashes import sha256_of
from ..weights.checkpoint import open_checkpoint
from ..weights.published import pyiqa_file
from ..weights.selection import find_file
from . import heads
from .member import CLIPMetric
from .views import WHOLE

TEMPERATURE = 2.0
TEXTS = (
    "Good photo.",
    "Bad photo.",
    "Sharp image.",
    "Blurry image.",
    "Sharp edges.",
    "Blurry edges.",
    "High-resolution image.",
    "Low-resolution image.",
    "Noise-free image.",
    "Noisy image.",
    "High-quality image.",
    "Low-quality image.",
    "Good picture.",
    "Bad picture.",
)
LEARNED = {
    "qualiclip+": "QualiCLIP+_koniq.pth",
    "qualiclip+-clive": "QualiCLIP+_clive.pth",
    "qualiclip+-flive": "QualiCLIP+_flive.pth",
    "qualiclip+-spaq": "QualiCLIP+_spaq.pth",
}


class QualiCLIP(CLIPMetric):
    """pyiqa's ``qualiclip`` and ``qualiclip+…`` (Agnolucci et al., arXiv 2403.11176).

    ``pretrained_model_path`` is a file with learned prompts of ``qualiclip+…``.
    """

    backbone = "RN50"
    view = WHOLE
    tower_file = "QualiCLIP.pth"

    def load(self, path: str | Path | None) -> None:
        self._texts: dict[torch.dtype, Tensor] = {}  # text features, by the dtype of image features
        if self.model_type not in LEARNED:
            super().load(path)
            found = self.clip.checkpoint
            if found.shapes.get("prompts_features") != (len(TEXTS), self.clip.width):
                raise WeightsError(
                    f"{found.path} has no prompts_features, so it is not QualiCLIP.pth: pass QualiCLIP.pth."
                )
            texts = found["prompts_features"].double()
            self._texts = dict.fromkeys((torch.float32, torch.float64), texts)
        else:
            file = find_file(pyiqa_file(LEARNED[self.model_type])).path if path is None else Path(path).expanduser()
            self._prompts, self._ends = self._read_learned(file)
            self.file = f"{file.name} {sha256_of(file)[:8]}"

    def answer(self, features: Tensor) -> Tensor:
        if features.dtype not in self._texts:
            with untraced():
                tower = self.clip.text_tower(torch.device("cpu"), features.dtype)
                self._texts[features.dtype] = tower.encode(self._prompts.to(features.dtype), self._ends)
        texts = F.normalize(self._texts[features.dtype], dim=-1).unflatten(0, (-1, 2))
        return heads.pairs(features, texts.to(features), self.clip.logit_scale / TEMPERATURE)

    def _read_learned(self, path: Path) -> tuple[Tensor, Tensor]:
        file = open_checkpoint(path)
        length, width = self.clip.checkpoint.shapes["positional_embedding"]
        shape = file.shapes.get("prompt_learner.ctx", ())
        ends = tokenize(TEXTS, length).argmax(1)  # without learned tokens; the end-of-text token has the highest id
        needed = (len(TEXTS), 1, width), (len(TEXTS), length - 1 - (shape[1] if len(shape) == 3 else 0), width)
        parts = [f"prompt_learner.token_{part}" for part in ("prefix", "suffix")]
        if len(shape) != 3 or tuple(file.shapes.get(part) for part in parts) != needed:
            raise WeightsError(f"{path} holds no learned prompts of {self.model_type}: pass a file with its prompts.")
        context, prefix, suffix = (file[name].float() for name in ("prompt_learner.ctx", *parts))
        half = shape[1] // 2
        rows = [
            torch.cat([prefix[i], context[i, :half], suffix[i, : end - 1], context[i, half:], suffix[i, end - 1 :]])
            for i, end in enumerate(ends.tolist())
        ]
        return torch.stack(rows), ends + shape[1]
