"""A reward for reinforcement learning: the margin of CLIP-IQA, which goes on growing where the score saturates."""

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
    """Generated images to rewards, one for each, higher is better; without gradient.

    The reward is the mean of the prompt pairs' margins: the logit of the positive prompt minus that of the negative
    one, the score's logit. Within a group of samples it is what a policy's advantage is made of, so its unit is free.

    Args:
        prompts: as for :class:`~clipiqa_pyiqa.CLIPIQA`.
        batch_size: how many images are encoded at once.
        device: where to; None leaves them where they are.
        **options: the other options of :class:`~clipiqa_pyiqa.CLIPIQA`, such as ``backbone`` and ``precision``.

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
        """Rewards ``(N,)`` in fp32 on the CPU.

        Args:
            images: ``(N, 3, H, W)`` RGB in [0, 1], or a list of ``(3, H, W)`` of any sizes. Values outside are clamped
                to the picture that would be saved.

        Raises:
            ImageError: images that cannot be scored.
        """
        if not isinstance(images, Tensor):
            if not isinstance(images, Sequence) or not all(isinstance(x, Tensor) and x.dim() == 3 for x in images):
                raise ImageError(f"expected images (N, 3, H, W) or a list of (3, H, W), but {shown(images)} came.")
            if len({image.shape for image in images}) == 1:
                images = torch.stack(list(images))  # of one size, as generators make them: they share passes
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
