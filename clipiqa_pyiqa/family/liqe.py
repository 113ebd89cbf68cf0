"""LIQE: the expected quality on five levels, from patches and texts."""

from itertools import product
from typing import Any

import torch
from torch import Tensor

from ..checks import FilePath, check_one_of
from ..errors import CLIPIQAError
from .base import SIDE, FamilyMetric, TowerView, patches

QUALITIES = ("bad", "poor", "fair", "good", "perfect")
SCENES = ("animal", "cityscape", "human", "indoor", "landscape", "night", "plant", "still_life", "others")
DISTORTIONS = (
    "jpeg2000 compression",
    "jpeg compression",
    "noise",
    "blur",
    "color",
    "contrast",
    "overexposure",
    "underexposure",
    "spatial",
    "quantization",
    "other",
)


def _fifteen_patches(x: Tensor) -> list[Tensor]:
    """Return at most 15 of the patches at stride 32: every n-th in reading order, n = ⌊count / 15⌋, as pyiqa does.

    So the last rows may be missing: of 28 patches, the first 15 are taken.
    """
    candidates = patches(x, 32)
    return candidates[:: max(1, len(candidates) // 15)][:15]


FIFTEEN_PATCHES = TowerView("15 patches of 224 px", "interpolate", SIDE, _fifteen_patches, 3)


class LIQE(FamilyMetric):
    """pyiqa's ``liqe`` and ``liqe_mix``, whose files hold the tower (Zhang et al., CVPR 2023).

    Args:
        model_type: ``'liqe'`` or ``'liqe_mix'``.
        pretrained: ``'mix'`` for ``liqe_mix``; True or ``'koniq'`` otherwise, as in pyiqa.
        pretrained_model_path: the file, as pyiqa calls ``clip_weights``.
        **options: options of :class:`~clipiqa_pyiqa.family.FamilyMetric`.
    """

    model_type = "liqe"
    further_types = ("liqe_mix",)
    backbone = "ViT-B/32"
    view = FIFTEEN_PATCHES
    score_range = (1.0, 5.0)

    def __init__(
        self,
        model_type: str = "liqe",
        backbone: str | None = None,
        pretrained: bool | str = True,
        *,
        pretrained_model_path: FilePath | None = None,
        **options: Any,
    ):
        check_one_of("model_type", model_type, ("liqe", "liqe_mix"))
        check_one_of("pretrained", pretrained, (True, "koniq", "mix"))
        if model_type == "liqe_mix" and pretrained == "koniq":
            raise CLIPIQAError("liqe_mix was not trained on KonIQ-10k alone: leave `pretrained` out, or take 'liqe'.")
        if model_type == "liqe_mix" or pretrained == "mix":
            model_type = "liqe_mix"
            self.tower_file = "liqe_mix.pt"
            self.level_texts = [
                f"a photo of a {scene} with {distortion} artifacts, which is of {quality} quality"
                for quality, scene, distortion in product(QUALITIES, SCENES, DISTORTIONS)
            ]
        else:
            self.tower_file = "liqe_koniq.pt"
            self.level_texts = [f"a photo with {quality} quality" for quality in QUALITIES]
        if pretrained_model_path is not None:
            if options.get("clip_weights") is not None:
                raise CLIPIQAError(
                    "clip_weights and pretrained_model_path both name LIQE's only file: pass one of them.",
                    options=("clip_weights", "pretrained_model_path"),
                )
            options["clip_weights"] = pretrained_model_path
        super().__init__(model_type, backbone, **options)

    def answer(self, features: Tensor) -> Tensor:
        texts = self.text_features(self.level_texts, like=features)
        logits = self.clip.logit_scale * features.mean(1) @ texts.T  # mean over patches
        shares = logits.softmax(1).unflatten(1, (len(QUALITIES), -1)).sum(2)
        return shares @ torch.arange(1, len(QUALITIES) + 1).to(shares)  # the expected level, Eqs. 4 and 6
