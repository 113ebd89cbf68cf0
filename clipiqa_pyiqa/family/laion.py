"""LAION's aesthetic predictor: a linear function of the image's feature."""

from pathlib import Path

import torch
from torch import Tensor

from ..checks import FilePath
from ..errors import WeightsError
from ..files import remembered_sha256
from ..weights.checkpoint import Checkpoint, open_checkpoint
from ..weights.finding import obtained_file
from ..weights.published import LAION_HEADS, head_file
from .base import CROP, FamilyMetric


class LAIONAes(FamilyMetric):
    """pyiqa's ``laion_aes``; ``pretrained_model_path`` is a file, ``'v2'`` (default) or ``'sa_0_4'`` (v1)."""

    model_type = "laion_aes"
    backbone = "ViT-L/14"
    view = CROP
    score_range = (1.0, 10.0)

    @property
    def has_own_file(self) -> bool:
        return True

    def load(self, path: FilePath | None) -> None:
        name = "v2" if path is None else str(path)
        file = obtained_file(head_file(name)).path if name in LAION_HEADS else Path(name).expanduser()
        self.weight, self.bias = _one_layer(open_checkpoint(file))
        self.file = {"file": file.name, "file_sha256": remembered_sha256(file)}
        if len(self.weight) != self.clip.width:
            raise WeightsError(
                f"{file} is for features of {len(self.weight)} numbers, but {self.clip.weights.backbone} "
                f"gives {self.clip.width}: pass another backbone or file."
            )

    def answer(self, features: Tensor) -> Tensor:
        return features @ self.weight.to(features) + self.bias.to(features)


def _one_layer(file: Checkpoint) -> tuple[Tensor, Tensor]:
    """Return a head's linear layers as one layer: weight ``(D,)`` and bias."""
    names = [name for name in sorted(file) if name.endswith("weight") and len(file.shapes[name]) == 2]
    names.sort(key=len)  # layer 10 comes after layer 9
    weight = torch.ones(1, 1, dtype=torch.float64)
    bias = torch.zeros(1, dtype=torch.float64)
    try:
        for name in reversed(names):
            bias = bias + weight @ file[name.removesuffix("weight") + "bias"].double()
            weight = weight @ file[name].double()
    except RuntimeError:  # layers that do not fit together, or that end in several numbers
        names = []
    if not names:
        raise WeightsError(f"{file.path} holds no head of laion_aes: linear layers that end in one number are needed.")
    return weight[0], bias[0]
