"""A reward for reinforcement learning: the positive logit minus the negative logit."""

from __future__ import annotations

import math
from typing import Any, Literal, Unpack

import torch
from torch import Tensor

from .checks import check_number, check_one_of, check_truth, check_whole
from .clip.pixels import blackened, to_tensors
from .errors import CLIPIQAError, ImageError, Kind, warn_caller
from .machine import find_device
from .metric import CLIPIQA
from .options import CLIPIQAOptions, lists_options
from .prompts.pairs import averaged_pairs
from .text import shown

USUAL_QUANTILE = 0.02  # the share of an image's places that count as the worst


class CLIPIQAReward:
    """Reward function for generated images: a high reward is good. Rewards have no gradient.

    A reward is the mean over pairs of the margin, the positive minus the negative logit. With references,
    ``fidelity`` × PSNR is added.

    Args:
        prompts: as for :class:`~clipiqa_pyiqa.CLIPIQA`.
        local: reward the worst places of an image instead of the whole image.
        quantile: with ``local``, the share of places that count as the worst, by default 0.02; their margins are
            averaged.
        fidelity: with references, how much margin one dB of PSNR is worth.
        batch_size: images encoded at once.
        nan: ``'raise'`` raises ``ImageError`` for an image with NaN or infinity; ``'lowest'`` gives it the lowest
            reward of the other images of the call, and warns once; if no image of the call is finite, it raises, too.
        device: where images are encoded; default: where they are.
        **options: options of :class:`~clipiqa_pyiqa.CLIPIQA`.

    Example:
        >>> reward = CLIPIQAReward(backbone="mini")
        >>> reward(torch.rand(4, 3, 64, 64)).shape
        torch.Size([4])
    """

    @lists_options(CLIPIQAOptions, of=CLIPIQA)
    def __init__(
        self,
        prompts: Any = None,
        *,
        local: bool = False,
        quantile: float | None = None,
        fidelity: float = 3.0,
        batch_size: int = 16,
        nan: Literal["raise", "lowest"] = "raise",
        device: str | torch.device | None = None,
        **options: Unpack[CLIPIQAOptions],
    ):
        check_truth("local", local)
        if quantile is not None and not local:
            raise CLIPIQAError("quantile is the share of an image's places, so it needs local=True.")
        quantile = USUAL_QUANTILE if quantile is None else quantile
        check_number("quantile", quantile, least=0, most=1)
        if quantile == 0:
            raise CLIPIQAError("quantile must be above 0: no place would be rewarded.")
        check_number("fidelity", fidelity)
        check_whole("batch_size", batch_size)
        check_one_of("nan", nan, ("raise", "lowest"))
        self.local = local
        self.quantile = quantile
        self.fidelity = fidelity
        self.batch_size = batch_size
        self.nan = nan
        self.device = device
        self._has_warned_of_nan = False
        averaged_pairs(prompts, options, "CLIPIQAReward")  # checked before weights are downloaded
        self.metric = CLIPIQA(prompts=prompts, **options).eval()
        if self.metric.head is not None:
            raise CLIPIQAError("a fitted head has no prompts to reward: pass a file of learned prompts, or none.")
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

        Raises:
            ImageError: an image is none, is too small or out of range, or references have other sizes.
        """
        if self.nan == "raise":
            return self._rewards_of(images, references)
        finite_images, is_finite = blackened(images)
        if len(is_finite) and not is_finite.any():
            raise ImageError("all images have NaN or infinite values: the generator has diverged", Kind.NOT_FINITE)
        rewards = self._rewards_of(finite_images, references)
        if not is_finite.all():
            rewards[~is_finite] = rewards[is_finite].min()
            if not self._has_warned_of_nan:
                self._has_warned_of_nan = True
                warn_caller("images with NaN or infinite values get the lowest reward of their call.")
        return rewards

    def __repr__(self) -> str:
        names = ("local", "quantile", "fidelity", "batch_size", "nan", "device")
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"CLIPIQAReward({options}, {self.metric.extra_repr()})"

    def _rewards_of(self, images: Any, references: Any) -> Tensor:
        pixels = to_tensors(images)
        if references is None:
            return self._margins(pixels)
        reference_pixels = to_tensors(references)
        sizes = [(image.shape[2], image.shape[1]) for image in pixels]
        reference_sizes = [(image.shape[2], image.shape[1]) for image in reference_pixels]
        if sizes != reference_sizes:
            raise ImageError(
                f"references must have the sizes of the images, {shown(sizes)}; got {shown(reference_sizes)}."
            )
        decibels = [psnr(image, reference) for image, reference in zip(pixels, reference_pixels, strict=True)]
        return self._margins(pixels) + self.fidelity * torch.tensor(decibels)

    def _margins(self, images: list[Tensor]) -> Tensor:
        """Return the margins ``(N,)`` of whole images or of their worst places; images of one size share a batch."""
        if not images:
            return torch.empty(0)
        if len({image.shape for image in images}) == 1:
            batches = list(torch.stack(images).split(self.batch_size))
        else:
            batches = [image[None] for image in images]
        return torch.cat([self._margins_of_batch(batch) for batch in batches])

    def _margins_of_batch(self, batch: Tensor) -> Tensor:
        """Return the margin of each image, ``(n,)``: the mean over its pairs, and over the worst of its places."""
        x = batch.to(batch.device if self.device is None else find_device(self.device))
        self.metric.check(x, None)  # to_tensors checked the values
        margins = self.metric.margins_unchecked(x, self.metric.encode_prompts(), self.local)  # (n, places, pairs)
        places = margins.mean(2)
        count = math.ceil(self.quantile * places.shape[1])
        worst = places.topk(count, largest=False).values
        return worst.mean(1).cpu()


def psnr(x: Tensor, y: Tensor) -> float:
    """Return PSNR in dB of an image in [0, 1], at most that of rounding to 8 bits (58.9 dB)."""
    error = (x.cpu().double() - y.cpu().double()).square().mean().item()
    return -10 * math.log10(max(error, 1 / 12 / 255**2))
