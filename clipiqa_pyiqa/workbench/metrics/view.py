"""What a metric sees of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...checks import check_truth, check_whole
from ...errors import ImageError

if TYPE_CHECKING:
    import torch

WIDEST_BORDER = 2048  # in pixels


@dataclass(frozen=True)
class View:
    """What a metric sees of an image: changes, made in this order; 0 makes no change.

    Attributes:
        crop: Pixels cut off each side.
        square: Both sides in pixels after PIL's bicubic resize.
        longest: Longest side in pixels; larger images are shrunk bilinearly, without antialiasing.
        center: Side in pixels of the middle square.
    """

    crop: int = 0
    square: int = 0
    longest: int = 0
    center: int = 0
    autocast: bool = False

    def __post_init__(self) -> None:
        check_whole("crop", self.crop, 0, WIDEST_BORDER)
        for name in ("square", "longest", "center"):
            check_whole(name, getattr(self, name), 0)
        check_truth("autocast", self.autocast)

    @property
    def words(self) -> str:
        words = {
            f"a border of {self.crop} px left out": self.crop,
            f"squashed to {self.square}×{self.square} px": self.square,
            f"longer sides shrunk to {self.longest} px": self.longest,
            f"only the middle {self.center}×{self.center} px": self.center,
        }
        return ", ".join(text for text, pixels in words.items() if pixels) or "whole images"

    def record(self, is_cuda: bool) -> dict[str, str]:
        """Return the fields of a column's record."""
        record = {"seen": self.words}
        if self.autocast:
            record["precision"] = "fp16 (autocast)" if is_cuda else "fp32 (in the source fp16, by autocast on CUDA)"
        return record

    def precision_of(self, images: torch.Tensor) -> torch.autocast:
        """Return the context in which a metric scores images: fp16 on CUDA, if autocast is asked for."""
        import torch

        kind = images.device.type
        return torch.autocast(kind, torch.float16, enabled=self.autocast and kind == "cuda")

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return changed images, from images ``(N, 3, H, W)`` in [0, 1]."""
        from torchvision.transforms.functional import center_crop, resize

        height, width = x.shape[-2:]
        if min(height, width) <= 2 * self.crop:
            raise ImageError(f"no pixel is left of {width}×{height} px without a border of {self.crop} px")
        x = center_crop(x, [height - 2 * self.crop, width - 2 * self.crop])
        if self.square:
            x = _squashed(x, self.square)
        longest = max(x.shape[-2:])
        if self.longest and longest > self.longest:
            x = resize(x, [int(side * self.longest / longest) for side in x.shape[-2:]], antialias=False)
        if self.center:
            x = center_crop(x, [min(side, self.center) for side in x.shape[-2:]])
        return x.contiguous()


def _squashed(x: torch.Tensor, side: int) -> torch.Tensor:
    """Return images as squares with this side, resized by PIL and so rounded to 8 bits."""
    import torch
    from torchvision.transforms.functional import InterpolationMode, pil_to_tensor, resize, to_pil_image

    pictures = [to_pil_image((image * 255).round().byte()) for image in x]
    squares = [pil_to_tensor(resize(picture, [side, side], InterpolationMode.BICUBIC)) for picture in pictures]
    return torch.stack(squares).to(x) / 255


UNCHANGED = View()
