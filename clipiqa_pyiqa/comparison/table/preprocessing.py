"""What is done to an image before a metric gets it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import InterpolationMode, center_crop, pil_to_tensor, resize, to_pil_image

from ...errors import ImageError
from ...scoring.metrics import BuiltMetric


@dataclass(frozen=True)
class Preprocess:
    """Changes to an image before a metric sees it, in this order; 0 makes no change.

    Attributes:
        crop: Pixels cut off each side.
        square: Both sides in pixels after PIL's bicubic resize.
        longest: Longest side in pixels; larger images are shrunk bilinearly, without antialiasing.
        center: Side in pixels of the middle square.
        autocast: Whether a metric computes in fp16 on CUDA.
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
        """Return changed images, from images ``(N, 3, H, W)`` in [0, 1]."""
        height, width = x.shape[-2:]
        if min(height, width) <= 2 * self.crop:
            raise ImageError(f"no pixel is left of {width}×{height} px without a border of {self.crop} px")
        x = center_crop(x, [height - 2 * self.crop, width - 2 * self.crop])
        if self.square:
            pictures = [to_pil_image((each * 255).round().byte()) for each in x]
            size = [self.square, self.square]
            squares = [pil_to_tensor(resize(each, size, InterpolationMode.BICUBIC)) for each in pictures]
            x = torch.stack(squares).to(x) / 255
        if self.longest and max(x.shape[-2:]) > self.longest:
            x = resize(x, [int(side * self.longest / max(x.shape[-2:])) for side in x.shape[-2:]], antialias=False)
        if self.center:
            x = center_crop(x, [min(side, self.center) for side in x.shape[-2:]])
        return x.contiguous()


WHOLE = Preprocess()


def with_preprocessing(metric: BuiltMetric | str, preprocess: Preprocess, device: torch.device) -> BuiltMetric | str:
    """Return a metric that scores preprocessed images; metrics of whole sets stay unchanged."""
    if isinstance(metric, str) or metric.spec.of_sets or preprocess == WHOLE:
        return metric
    score, is_half = metric.score, preprocess.autocast and device.type == "cuda"

    def scored(*images: Tensor) -> Any:
        with torch.autocast(device.type, torch.float16, enabled=is_half):
            return score(*map(preprocess, images))

    provenance = {**metric.provenance, "seen": preprocess.words}
    if preprocess.autocast:
        provenance["precision"] = "fp16 (autocast)" if is_half else "fp32 (in the source fp16, by autocast on CUDA)"
    return replace(metric, score=scored, net=None, provenance=provenance)


def fit_sizes(x: Tensor, reference: Tensor, unequal: str) -> tuple[Tensor, Tensor]:
    """Return an image and its reference, ``(3, H, W)`` uint8, in one size; ``'resize'`` gives floats in [0, 1].

    Raises ``ImageError`` if the sizes stay different.
    """
    size = [min(sides) for sides in zip(x.shape[1:], reference.shape[1:], strict=True)]
    if unequal == "cut":
        return x[:, : size[0], : size[1]], reference[:, : size[0], : size[1]]
    if unequal == "resize":
        return resize(x / 255, size), resize(reference / 255, size)
    if unequal == "reference":
        return pil_to_tensor(resize(to_pil_image(x), list(reference.shape[1:]))), reference
    if x.shape != reference.shape:
        sizes = [f"{width}×{height} px" for _, height, width in (x.shape, reference.shape)]
        raise ImageError(f"it is {sizes[0]}, but its reference is {sizes[1]}: both must have the same size")
    return x, reference


def has_alpha(path: str) -> bool:
    with contextlib.suppress(OSError), Image.open(path) as image:
        return image.has_transparency_data
    return False
