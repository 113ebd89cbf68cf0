"""LAION's aesthetic predictors: a linear layer on features of ViT-L/14."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import WeightsError
from ..files.hashes import sha256_of
from ..weights.checkpoint import Checkpoint, open_checkpoint
from ..weights.published import LAION_HEADS, head_file
from ..weights.selection import find_file
from .member import CLIPMetric
from .views import CROP


class LAIONAes(CLIPMetric):
    """pyiqa's ``laion_aes``; ``pretrained_model_path`` is a file, ``'v2'`` (default) or ``'sa_0_4'`` (v1)."""

    backbone = "ViT-L/14"
    view = CROP
    score_range = (1.0, 10.0)

    def __init__(self, model_type: str = "laion_aes", *args: Any, **options: Any):
        super().__init__(model_type, *args, **options)

    def load(self, path: str | Path | None) -> None:
        name = "v2" if path is None else str(path)
        self.head_path = find_file(head_file(name)).path if name in LAION_HEADS else Path(name).expanduser()
        self.weight, self.bias = _row(open_checkpoint(self.head_path))
        self.file = f"{self.head_path.name} {sha256_of(self.head_path)[:8]}"
        if len(self.weight) != self.clip.width:
            raise WeightsError(
                f"{self.head_path} is for features of {len(self.weight)} numbers, but {self.clip.weights.backbone} "
                f"gives {self.clip.width}: pass another backbone or file."
            )

    def answer(self, features: Tensor) -> Tensor:
        return features @ self.weight.to(features) + self.bias.to(features)


def _row(file: Checkpoint) -> tuple[Tensor, Tensor]:
    names = [name for name in sorted(file) if name.endswith("weight") and len(file.shapes[name]) == 2]
    names.sort(key=len)  # layer 10 comes after layer 9
    width = file.shapes[names[0]][1] if names else 0
    weight, bias = torch.eye(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    try:
        for name in names:
            layer = file[name].double()
            weight, bias = layer @ weight, layer @ bias + file[name.removesuffix("weight") + "bias"].double()
    except RuntimeError:  # shapes of layers that do not fit together
        names = []
    if not names or len(weight) != 1:
        raise WeightsError(f"{file.path} holds no head of laion_aes: linear layers that end in one number are needed.")
    return weight[0], bias[0]
