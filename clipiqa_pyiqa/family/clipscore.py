"""CLIPScore: how well a caption fits an image."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..checks import check_number, check_text
from ..clip.gradient import per_image
from ..errors import CLIPIQAError
from ..text import shown
from .base import CROP, FamilyMetric


class CLIPScore(FamilyMetric):
    """pyiqa's ``clipscore`` (Hessel et al., EMNLP 2021, arXiv 2104.08718).

    Args:
        w: factor of the cosine similarities, 0 or more.
        prefix: text before each caption.
        **options: options of :class:`~clipiqa_pyiqa.family.FamilyMetric`.
    """

    model_type = "clipscore"
    backbone = "ViT-B/32"
    view = CROP
    has_captions = True

    def __init__(self, *args: Any, w: float = 2.5, prefix: str = "A photo depicts", **options: Any):
        check_number("w", w, least=0)
        check_text("prefix", prefix)
        self.w = w
        self.score_range = (0.0, w)
        self.prefix = prefix
        super().__init__(*args, **options)

    def answer(self, features: Tensor) -> Tensor:
        raise CLIPIQAError("clipscore needs a caption for each image: call it with caption_list=[TEXT, ...].")

    def forward(self, x: Tensor, caption_list: Sequence[str] | None = None) -> Tensor:
        """Return scores of images against their captions: ``(N,)`` in [0, w].

        Args:
            x: RGB ``(N, 3, H, W)`` in [0, 1].
            caption_list: N captions, cut after 77 tokens.

        Raises:
            CLIPIQAError: a caption is no text, or their number is not that of the images.
        """
        self.check(x)
        captions = [caption_list] if isinstance(caption_list, str) else list(caption_list or ())
        not_texts = [caption for caption in captions if not isinstance(caption, str)]
        if not_texts:
            raise CLIPIQAError(f"clipscore's captions must be texts; got {shown(not_texts[0])}.")
        if len(captions) != len(x):
            raise CLIPIQAError(
                f"clipscore needs a caption for each image, caption_list=[TEXT, ...]; got {len(captions)} captions "
                f"for {len(x)} images."
            )
        tower = self.clip.text_tower(x.device, self._image_tower(x).dtype)
        texts = tower([f"{self.prefix} {caption}" for caption in captions])
        return per_image(_CaptionScores(self, texts), x)


class _CaptionScores:
    """Scores of groups of images, which come in the order of their captions.

    Args:
        texts: Unit features of all captions, ``(N, D)``.
    """

    def __init__(self, metric: CLIPScore, texts: Tensor) -> None:
        self._metric = metric
        self._texts = texts
        self._images_before = 0

    def __call__(self, images: Tensor) -> Tensor:
        """Return the scores of the next images, ``(n,)``."""
        features = self._metric.encode_unchecked(images)
        first = self._images_before
        self._images_before += len(images)
        texts = self._texts[first : self._images_before].to(features)
        return self._metric.w * (features * texts).sum(-1).relu()
