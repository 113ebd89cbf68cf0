"""A reward for reinforcement learning: the positive logit minus the negative logit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .clip.inputs import ANY_RANGE, check_images
from .errors import ImageError, shown
from .errors.arguments import checked
from .metric import CLIPIQA
from .prompts.antonym import margins


class CLIPIQAReward:
    """Reward function for generated images: a high reward is good. Rewards have no gradient.

    A reward is the mean of the pairs' margins. A margin is the positive logit minus the negative logit.

    Args:
        prompts: as for :class:`~clipiqa_pyiqa.CLIPIQA`.
        batch_size: images encoded at once.
        device: device that encodes; default the images' device.
        **options: options of :class:`~clipiqa_pyiqa.CLIPIQA`.

    Example:
        >>> reward = CLIPIQAReward(backbone="mini")
        >>> reward(torch.rand(4, 3, 64, 64)).shape
        torch.Size([4])
    """

    @checked
    def __init__(
        self, prompts: Any = None, *, batch_size: int = 16, device: str | torch.device | None = None, **options: Any
    ):
        self.batch_size, self.device = batch_size, device
        self.metric = CLIPIQA(prompts=prompts, **options).eval()

    @torch.no_grad()
    def __call__(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """Return rewards ``(N,)`` in fp32 on the CPU.

        Args:
            images: RGB ``(N, 3, H, W)``, or a list of ``(3, H, W)`` of any sizes, clamped to [0, 1].

        Raises:
            ImageError: the images cannot be scored.
        """
        if not isinstance(images, Tensor):
            if not isinstance(images, Sequence) or not all(isinstance(x, Tensor) and x.dim() == 3 for x in images):
                raise ImageError(f"images must be (N, 3, H, W) or a list of (3, H, W); got {shown(images)}.")
            if len({image.shape for image in images}) == 1:
                images = torch.stack(list(images))  # images of one size are encoded together
        if isinstance(images, Tensor):
            check_images(images, overshoot=None)
            batches: Sequence[Tensor] = images.split(self.batch_size)
        else:
            batches = [image[None] for image in images]
        return torch.cat([self._margins(batch) for batch in batches]) if len(batches) else torch.empty(0)

    def _margins(self, batch: Tensor) -> Tensor:
        self.metric.check(batch, ANY_RANGE)
        features = self.metric.encode_unchecked(batch.to(self.device or batch.device).clamp(0, 1))
        texts = self.metric.encode_prompts(dtype=features.dtype).to(features.device)
        return margins(features, texts, self.metric.clip.logit_scale).mean(dim=1).float().cpu()
