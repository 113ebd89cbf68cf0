"""What a metric sees of a picture: whole, without a border, resized, or its middle."""

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
    """How a picture is changed before a metric sees it, in this order.

    Attributes:
        crop: Pixels cut off each side.
        square: Side in pixels to which the picture is squashed, by PIL's bicubic filter; 0 for not.
        longest: Pixels to which a longer side is shrunk, bilinearly and without antialiasing; 0 for not.
        center: Side in pixels of the square that is cut out of the middle; 0 for the whole.
        autocast: Whether the metric runs in fp16 where there is CUDA.
    """

    crop: int = 0
    square: int = 0
    longest: int = 0
    center: int = 0
    autocast: bool = False

    @property
    def words(self) -> str:
        """The view in words."""
        said = [
            f"a border of {self.crop} px left out" * bool(self.crop),
            f"squashed to {self.square}×{self.square} px" * bool(self.square),
            f"longer sides shrunk to {self.longest} px" * bool(self.longest),
            f"only the middle {self.center}×{self.center} px" * bool(self.center),
        ]
        return ", ".join(filter(None, said)) or "whole images"

    def __call__(self, x: Tensor) -> Tensor:
        """Return what is seen of images ``(N, 3, H, W)``.

        Raises:
            ImageError: Nothing is left.
        """
        height, width = x.shape[-2:]
        if min(height, width) <= 2 * self.crop:
            raise ImageError(f"nothing is left of {width}×{height} px without a border of {self.crop} px")
        if self.crop:
            x = x[..., self.crop : -self.crop, self.crop : -self.crop]
        if self.square:
            x = torch.stack([_squashed(each, self.square) for each in x]).to(x)
        if self.longest and max(x.shape[-2:]) > self.longest:
            size = [int(side * self.longest / max(x.shape[-2:])) for side in x.shape[-2:]]
            x = resize(x, size, antialias=False)
        if self.center:
            top, left = (max(0, round((side - self.center) / 2)) for side in x.shape[-2:])
            x = x[..., top : top + self.center, left : left + self.center]
        return x.contiguous()


WHOLE = View()


def viewed(metric: BuiltMetric | str, view: View) -> BuiltMetric | str:
    """Return a metric that sees pictures so; a metric of whole sets is given files, and so sees them whole."""
    if isinstance(metric, str) or metric.spec.of_sets or view == WHOLE:
        return metric
    score = metric.score

    def seen(*images: Tensor) -> Any:
        half = view.autocast and images[0].is_cuda
        with torch.autocast(images[0].device.type, torch.float16, enabled=half):
            return score(*map(view, images))

    seen.__wrapped__ = score  # type: ignore[attr-defined]
    said = {name: str(value) for name, value in vars(view).items() if value}
    if "crop" in said:
        said["crop_border"] = said.pop("crop")
    return replace(metric, score=seen, net=None, provenance={**metric.provenance, **said})


def fitted(x: Tensor, reference: Tensor, unequal: str) -> tuple[Tensor, Tensor]:
    """Return a picture and its reference, ``(3, H, W)`` uint8, in one size, as a protocol does it.

    Args:
        x: The picture.
        reference: Its reference.
        unequal: A key of :data:`~.protocols.UNEQUAL`; for ``'resize'`` what is returned is float in [0, 1].
    """
    height, width = (min(sides) for sides in zip(x.shape[1:], reference.shape[1:], strict=True))
    if unequal == "cut":
        return x[:, :height, :width], reference[:, :height, :width]
    if unequal == "resize":
        return resize(x / 255, [height, width]), resize(reference / 255, [height, width])
    if unequal == "reference":
        return pil_to_tensor(resize(to_pil_image(x), list(reference.shape[1:]))), reference
    return x, reference


def _squashed(x: Tensor, side: int) -> Tensor:
    picture = to_pil_image((x * 255).round().byte())
    return pil_to_tensor(picture.resize((side, side), Image.Resampling.BICUBIC)) / 255
