"""Checks of images and of image features that callers pass as tensors."""

from typing import Any, NoReturn

import torch
from torch import Tensor

from ..errors import CLIPIQAError, ImageError, Kind
from ..text import shown
from .tracing import is_traced

_PIXELS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

ANY_RANGE = 1e6
"""Largest allowed distance if pixels may have any range: beyond this distance scores overflow."""


def check_images(x: Any, overshoot: float | None, least: int, name: str) -> None:
    """Raise :class:`ImageError` unless ``x`` is a batch of RGB or grey images in a floating dtype for metric ``name``.

    Pixels may lie ``overshoot`` outside [0, 1]; None accepts every value, also NaN. ``least`` is the smallest side.
    """
    if not isinstance(x, Tensor) or x.layout != torch.strided or x.is_nested or x.is_quantized or x.is_meta:
        raise ImageError(
            f"images must be a dense tensor of shape (N, 3, H, W); got a {type(x).__name__}: "
            "score_images takes files, PIL images and arrays.",
            options=("images",),
        )
    if x.dim() != 4 or x.shape[1] not in (1, 3):
        raise ImageError(
            f"images must be RGB of shape (N, 3, H, W); got {tuple(x.shape)}{_hint_on_shape(x)}.",
            options=("images",),
        )
    if not x.numel():
        raise ImageError(f"images must not be empty; got a batch of shape {tuple(x.shape)}.", options=("images",))
    if x.dtype not in _PIXELS:
        raise ImageError(f"pixels must be floats in [0, 1]; got {x.dtype}: use x.float() / 255 for 8-bit images.")
    if min(x.shape[-2:]) < least:
        raise ImageError(
            f"the image is {x.shape[-1]}×{x.shape[-2]} px, but {name} needs at least {least} px on each side: use a "
            "larger image.",
            Kind.TOO_SMALL,
        )
    if overshoot is not None and not is_traced() and not _reach(x) <= overshoot:
        _raise_for_pixels(x, overshoot)


def _hint_on_shape(x: Tensor) -> str:
    if x.dim() == 3:
        return "; for a single image use x.unsqueeze(0)"
    if x.dim() == 4 and x.shape[-1] in (1, 3):
        return ", which looks like (N, H, W, 3): use x.permute(0, 3, 1, 2)"
    return ""


def _raise_for_pixels(x: Tensor, overshoot: float) -> NoReturn:
    """Raise an error for the first image with a pixel that is not finite, or more than ``overshoot`` outside [0, 1]."""
    number, image = next((number, image) for number, image in enumerate(x) if not _reach(image) <= overshoot)
    start = f"image {number} of the batch of {len(x)} has"
    if not image.isfinite().all():
        raise ImageError(f"{start} NaN or infinite pixels: check the source of the image.", Kind.NOT_FINITE)
    if overshoot == ANY_RANGE:
        raise ImageError(f"{start} pixels beyond ±{overshoot:g}, where scores overflow: check the source of the image.")
    lowest, highest = (bound.item() for bound in image.aminmax())
    raise ImageError(
        f"{start} pixels from {lowest:.4g} to {highest:.4g}, far outside [0, 1]: divide 8-bit pixels by 255 "
        "(torchmetrics' and piq's classes take data_range=255), turn [-1, 1] into [0, 1] by (x + 1) / 2, or clamp."
    )


def _reach(x: Tensor) -> float:
    lowest, highest = x.detach().aminmax()
    return torch.maximum(-lowest, highest - 1).item()


def check_features(features: Any, width: int, can_be_wider: bool) -> None:
    """Raise :class:`CLIPIQAError` unless ``features`` are unit features ``(N, D)`` or ``(N, D, h, w)``.

    D must be ``width``; if it ``can_be_wider``, D may be larger.
    """
    is_dense = isinstance(features, Tensor) and features.layout == torch.strided and not features.is_nested
    if not is_dense or features.dtype not in _PIXELS or features.is_meta or features.dim() not in (2, 4):
        raise CLIPIQAError(
            f"features must be image features, as encode_image returns them; got {shown(features)}.",
            options=("features",),
        )
    if features.shape[1] != width and not (can_be_wider and features.shape[1] > width):
        raise CLIPIQAError(
            f"features must be of shape (N, {width}) for this metric; got {tuple(features.shape)}.",
            options=("features",),
        )
    if is_traced() or not features.numel():
        return
    squared_lengths = features.detach()[:, :width].float().square().sum(dim=1)
    if ((squared_lengths - 1).abs() >= 0.05).any():  # rounding to bf16 changes one by less than 0.02; NaN may pass
        low, high = (bound.sqrt() for bound in squared_lengths.aminmax())
        raise CLIPIQAError(
            f"features must have length 1, as encode_image returns them; got lengths from {low:.4g} to {high:.4g}: "
            f"divide them by the length of their first {width:,} numbers.",
            options=("features",),
        )
