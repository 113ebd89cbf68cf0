"""MA-CLIP: similarity to texts and magnitude of features, over patches."""

from __future__ import annotations

from torch import Tensor

from ..prompts.pairs import parse_prompts
from . import heads
from .member import CLIPMetric
from .views import ALL_PATCHES


class MACLIP(CLIPMetric):
    """pyiqa's ``maclip``, for batches of any size (Liao et al., AAAI 2026, arXiv 2511.09948)."""

    backbone = "RN50"
    view = ALL_PATCHES

    def answer(self, features: Tensor) -> Tensor:
        texts = [text for pair in parse_prompts("pyiqa") for text in (pair.positive, pair.negative)]
        return heads.magnitude(features, self.texts(texts, features).unflatten(0, (-1, 2)), self.clip.logit_scale)
