"""CLIPScore: how well a caption fits an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..clip.gradient import per_image, untraced
from ..errors import CLIPIQAError
from .member import CLIPMetric
from .views import CROP


class CLIPScore(CLIPMetric):
    """pyiqa's ``clipscore`` (Hessel et al., EMNLP 2021, arXiv 2104.08718).

    Args:
        w: factor of the cosine similarities.
        prefix: text before each caption.
        **options: options of :class:`~clipiqa_pyiqa.family.member.CLIPMetric`.
    """

    backbone = "ViT-B/32"
    view = CROP
    score_range = (0.0, 2.5)
    takes_captions = True

    def __init__(
        self, model_type: str = "clipscore", *args: Any, w: float = 2.5, prefix: str = "A photo depicts", **options: Any
    ):
        self.w, self.prefix = w, prefix
        super().__init__(model_type, *args, **options)

    def forward(self, x: Tensor, caption_list: Sequence[str] | None = None) -> Tensor:
        """Return scores of images against their captions: ``(N,)`` in [0, w].

        Args:
            x: RGB ``(N, 3, H, W)`` in [0, 1].
            caption_list: N captions, cut after 77 tokens.

        Raises:
            CLIPIQAError: the number of captions is not the number of images.
        """
        self.check(x)
        captions = [caption_list] if isinstance(caption_list, str) else list(caption_list or ())
        if len(captions) != len(x) or not all(isinstance(caption, str) for caption in captions):
            raise CLIPIQAError(
                f"clipscore needs a caption for each image, caption_list=[TEXT, ...]; got {len(captions)} captions "
                f"for {len(x)} images."
            )
        dtype = self._image_tower(x).mean.dtype
        with untraced():
            tower = self.clip.text_tower(x.device, dtype)
            texts = F.normalize(tower([f"{self.prefix} {caption}" for caption in captions]), dim=-1)
        done = 0

        def ask(images: Tensor) -> Tensor:
            nonlocal done
            features = self.encode_unchecked(images)
            theirs = texts[done : done + len(images)].to(features)
            done += len(images)
            return self.w * (features * theirs).sum(-1).relu()

        return per_image(ask, x)
