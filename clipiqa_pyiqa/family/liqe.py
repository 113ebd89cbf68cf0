"""LIQE: the expected quality level, 1 to 5, over patches."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from torch import Tensor

from . import heads
from .member import CLIPMetric
from .views import FIFTEEN_PATCHES

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


class LIQE(CLIPMetric):
    """pyiqa's ``liqe`` and ``liqe_mix``, whose files hold the tower (Zhang et al., CVPR 2023)."""

    backbone = "ViT-B/32"
    view = FIFTEEN_PATCHES
    score_range = (1.0, 5.0)

    def __init__(
        self,
        model_type: str = "liqe",
        backbone: str | None = None,
        pretrained: bool | str = True,
        *,
        pretrained_model_path: str | Path | None = None,
        clip_weights: str | Path | None = None,
        **options: object,
    ):
        is_mix = model_type == "liqe_mix" or pretrained == "mix"
        self.tower_file = "liqe_mix.pt" if is_mix else "liqe_koniq.pt"
        self.asked = [f"a photo with {quality} quality" for quality in QUALITIES]
        if is_mix:
            self.asked = [
                f"a photo of a {scene} with {distortion} artifacts, which is of {quality} quality"
                for quality, scene, distortion in product(QUALITIES, SCENES, DISTORTIONS)
            ]
        tower = pretrained_model_path or clip_weights
        super().__init__("liqe_mix" if is_mix else model_type, backbone, clip_weights=tower, **options)  # type: ignore[arg-type]

    def answer(self, features: Tensor) -> Tensor:
        texts = self.texts(self.asked, features).unflatten(0, (len(QUALITIES), -1))
        return heads.levels(features, texts, self.clip.logit_scale)
