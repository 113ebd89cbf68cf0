"""MA-CLIP: five pairs of texts, and the magnitude of the feature."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..prompts.antonym import antonym_scores
from ..prompts.pairs import parse_prompts
from .base import SIDE, FamilyMetric, TowerView, patches


def _all_patches(x: Tensor) -> list[Tensor]:
    """Return the patches at stride 128, and the image squashed to one patch."""
    squashed = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return [*patches(x, 128), squashed]


ALL_PATCHES = TowerView("224 px patches at stride 128, and the image squashed", "none", SIDE, _all_patches, dims=3)


class MACLIP(FamilyMetric):
    """pyiqa's ``maclip``, for batches of any size (Liao et al., AAAI 2026, arXiv 2511.09948)."""

    model_type = "maclip"
    backbone = "RN50"
    view = ALL_PATCHES

    def answer(self, features: Tensor) -> Tensor:
        texts = [text for pair in parse_prompts("pyiqa") for text in pair.texts]
        pairs = self.text_features(texts, like=features).unflatten(0, (-1, 2))
        similar = antonym_scores(features.contiguous(), pairs, self.clip.logit_scale).mean(-1)
        sizes = features.abs()
        sizes = sizes / sizes.std(-1, keepdim=True)
        large = (2 * ((sizes + 1).sqrt() - 1)).mean(-1)
        difference = similar - large
        weight = torch.sigmoid(0.4 + 2 * difference)  # a softmax over 1 + difference and 0.6 - difference
        return (weight * similar + (1 - weight) * large).mean(1)
