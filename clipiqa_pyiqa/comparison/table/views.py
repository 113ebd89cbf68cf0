"""The view of a picture that a metric gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, resize, to_pil_image

from ...errors import ImageError
from ..metrics import BuiltMetric


@dataclass(frozen=True)
class View:
    """Changes to a picture before a metric sees it, in this order; 0 makes no change.

    Attributes:
        crop: Pixels cut off each side.
        square: Both sides in pixels after PIL's bicubic resize.
        longest: Longest side in pixels; larger pictures are shrunk bilinearly, without antialiasing.
        center: Side in pixels of the middle square.
    """

    crop: int = 0
    square: int = 0
    longest: int = 0
    center: int = 0
    autocast: bool = False

    @property
    def words(self) -> str:
        words = {
            f"a border of {self.crop} px left out": self.crop,
            f"squashed to {self.square}×{self.square} px": self.square,
            f"longer sides shrunk to {self.longest} px": self.longest,
            f"only the middle {self.center}×{self.center} px": self.center,
        }
        return ", ".join(text for text, pixels in words.items() if pixels) or "whole images"

    def __call__(self, x: Tensor) -> Tensor:
        """Return the view of images ``(N, 3, H, W)`` in [0, 1]."""
        height, width = x.shape[-2:]
        if min(height, width) <= 2 * self.crop:
            raise ImageError(f"no pixel is left of {width}×{height} px without a border of {self.crop} px")
        x = x[..., self.crop : height - self.crop, self.crop : width - self.crop]
        if self.square:
            pictures = [to_pil_image((each * 255).round().byte()) for each in x]
            squares = [each.resize((self.square, self.square), Image.Resampling.BICUBIC) for each in pictures]
            x = torch.stack([pil_to_tensor(each) / 255 for each in squares]).to(x)
        if self.longest and max(x.shape[-2:]) > self.longest:
            size = [int(side * self.longest / max(x.shape[-2:])) for side in x.shape[-2:]]
            x = resize(x, size, antialias=False)
        if self.center:
            top, left = (max(0, round((side - self.center) / 2)) for side in x.shape[-2:])
            x = x[..., top : top + self.center, left : left + self.center]
        return x.contiguous()


WHOLE = View()


def with_view(metric: BuiltMetric | str, view: View) -> BuiltMetric | str:
    """Return a metric that scores views of pictures; metrics of whole sets stay unchanged."""
    if isinstance(metric, str) or metric.spec.of_sets or view == WHOLE:
        return metric
    score = metric.score

    def scored(*images: Tensor) -> Any:
        is_half = view.autocast and images[0].is_cuda
        with torch.autocast(images[0].device.type, torch.float16, enabled=is_half):
            return score(*map(view, images))

    scored.__wrapped__ = score  # type: ignore[attr-defined]
    changes = {name: str(value) for name, value in vars(view).items() if value}
    if "crop" in changes:
        changes["crop_border"] = changes.pop("crop")
    return replace(metric, score=scored, net=None, provenance={**metric.provenance, **changes})


def fit_sizes(x: Tensor, reference: Tensor, unequal: str) -> tuple[Tensor, Tensor]:
    """Return a picture and its reference, ``(3, H, W)`` uint8, in one size; ``'resize'`` gives floats in [0, 1]."""
    height, width = (min(sides) for sides in zip(x.shape[1:], reference.shape[1:], strict=True))
    if unequal == "cut":
        return x[:, :height, :width], reference[:, :height, :width]
    if unequal == "resize":
        return resize(x / 255, [height, width]), resize(reference / 255, [height, width])
    if unequal == "reference":
        return pil_to_tensor(resize(to_pil_image(x), list(reference.shape[1:]))), reference
    return x, reference
