"""A reward for reinforcement learning: the positive logit minus the negative logit."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor

from .errors import CLIPIQAError
from .errors.arguments import checked
from .images.in_memory import to_tensors
from .metric import CLIPIQA


class CLIPIQAReward:
    """Reward function for generated images: a high reward is good. Rewards have no gradient.

    A reward is the mean over pairs of the margin, the positive minus the negative logit.

    Args:
        prompts: as for :class:`~clipiqa_pyiqa.CLIPIQA`.
        local: reward the worst places of an image instead of the whole image.
        quantile: with ``local``, the share of places that count as the worst; their margins are averaged.
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
        self,
        prompts: Any = None,
        *,
        local: bool = False,
        quantile: float = 0.02,
        batch_size: int = 16,
        device: str | torch.device | None = None,
        **options: Any,
    ):
        if not 0 < quantile <= 1:
            raise CLIPIQAError(f"quantile must be above 0 and at most 1; got {quantile}.")
        self.local, self.quantile, self.batch_size, self.device = local, quantile, batch_size, device
        self.metric = CLIPIQA(prompts=prompts, **options).eval()
        if local:
            self.metric.check_map()

    @torch.no_grad()
    def __call__(self, images: Any) -> Tensor:
        """Return rewards ``(N,)`` in fp32 on the CPU.

        Args:
            images: a batch ``(N, 3, H, W)`` or ``(N, H, W, 3)``, or a list of images of any sizes: PIL images, arrays
                ``(H, W, 3)`` or tensors ``(3, H, W)``, in uint8 or as floats in [0, 1]; floats may exceed this range
                by 0.5 and are clamped.

        Raises:
            ImageError: the images cannot be scored.
        """
        found = to_tensors(images)
        batches: Sequence[Tensor] = [image[None] for image in found]
        if len({image.shape for image in found}) == 1:  # images of one size are encoded together
            batches = torch.stack(found).split(self.batch_size)
        return torch.cat([self._margins(batch) for batch in batches]) if batches else torch.empty(0)

    def _margins(self, batch: Tensor) -> Tensor:
        x = batch.to(self.device or batch.device)
        self.metric.check(x, None)  # to_tensors checked the values
        places = self.metric.margins_unchecked(x, self.metric.encode_prompts(), self.local).mean(2)
        worst = places.topk(ceil(self.quantile * places.shape[1]), largest=False).values
        return worst.mean(1).cpu()
