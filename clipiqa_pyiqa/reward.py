"""A reward for reinforcement learning: the positive logit minus the negative logit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from .errors import CLIPIQAError, ImageError, checked, shown
from .images.in_memory import to_tensors
from .metric import CLIPIQA


class CLIPIQAReward:
    """Reward function for generated images: a high reward is good. Rewards have no gradient.

    A reward is the mean over pairs of the margin, the positive minus the negative logit; with references, plus PSNR.

    Args:
        local: reward the worst places of an image instead of the whole image.
        quantile: with ``local``, the share of places that count as the worst; their margins are averaged.
        fidelity: with references, how much margin one dB of PSNR is worth.
        batch_size: images encoded at once.

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
        fidelity: float = 3.0,
        batch_size: int = 16,
        device: str | torch.device | None = None,
        **options: Annotated[Any, CLIPIQA],
    ):
        if not 0 < quantile <= 1:
            raise CLIPIQAError(f"quantile must be above 0 and at most 1; got {quantile}.")
        self.local, self.quantile, self.fidelity = local, quantile, fidelity
        self.batch_size, self.device = batch_size, device
        self.metric = CLIPIQA(prompts=prompts, **options).eval()
        if local:
            self.metric.check_map()

    @torch.no_grad()
    def __call__(self, images: Any, references: Any = None) -> Tensor:
        """Return rewards ``(N,)`` in fp32 on the CPU.

        Args:
            images: a batch ``(N, 3, H, W)`` or ``(N, H, W, 3)``, or a list of images of any sizes: PIL images, arrays
                ``(H, W, 3)`` or tensors ``(3, H, W)``, in uint8 or as floats in [0, 1]; floats may exceed this range
                by 0.5 and are clamped.
            references: images of the same sizes that the images should resemble. The reward becomes
                ``margin + fidelity * PSNR``.
        """
        found = to_tensors(images)
        batches: Sequence[Tensor] = [image[None] for image in found]
        if len({image.shape for image in found}) == 1:  # images of one size are encoded together
            batches = torch.stack(found).split(self.batch_size)
        rewards = torch.cat([self._margins(batch) for batch in batches]) if batches else torch.empty(0)
        if references is None:
            return rewards
        like = to_tensors(references)
        sizes, theirs = ([(image.shape[2], image.shape[1]) for image in each] for each in (found, like))
        if sizes != theirs:
            raise ImageError(f"references must have the sizes of the images, {shown(sizes)}; got {shown(theirs)}.")
        return rewards + self.fidelity * torch.tensor([*map(psnr, found, like)])

    def _margins(self, batch: Tensor) -> Tensor:
        x = batch.to(self.device or batch.device)
        self.metric.check(x, None)  # to_tensors checked the values
        places = self.metric.margins_unchecked(x, self.metric.encode_prompts(), self.local).mean(2)
        worst = places.topk(math.ceil(self.quantile * places.shape[1]), largest=False).values
        return worst.mean(1).cpu()


def psnr(x: Tensor, y: Tensor) -> float:
    """Return PSNR in dB of an image in [0, 1], at most that of rounding to 8 bits (58.9 dB)."""
    error = (x.cpu().double() - y.cpu().double()).square().mean().item()
    return -10 * math.log10(max(error, 1 / 12 / 255**2))
