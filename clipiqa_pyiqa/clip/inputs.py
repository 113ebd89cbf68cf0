"""What may be asked: batches of images as pixels, and features of images, or one sentence that says what is wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import CLIPIQAError, ImageError, Kind, shown
from .gradient import is_traced

_PIXELS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
OVERSHOOT = 0.5
"""How far outside their range pixels may lie, as a share of it: a network's overshoot; beyond, the range is another."""

ANY_RANGE = 1e6
"""The same for pixels whose range is not known: beyond, scores would overflow."""


def check_images(x: Any, overshoot: float | None = OVERSHOOT) -> None:
    """Raise :class:`ImageError` unless ``x`` is a batch of RGB images in a floating dtype.

    Args:
        x: the images.
        overshoot: how far outside [0, 1] pixels may lie; None accepts every value, NaN and infinity too.
    """
    if not isinstance(x, Tensor):
        raise ImageError(f"expected a tensor of shape (N, 3, H, W), but a {type(x).__name__} came: convert it first.")
    if x.layout != torch.strided or x.is_nested or x.is_quantized:
        raise ImageError("expected a dense tensor of images, but a sparse, nested or quantised one came: convert it.")
    if x.dim() != 4 or x.shape[1] not in (1, 3):
        hint = ""
        if x.dim() == 3:
            hint = "; for a single image use x.unsqueeze(0)"
        elif x.dim() == 4 and x.shape[-1] in (1, 3):
            hint = ", which looks like (N, H, W, 3): use x.permute(0, 3, 1, 2)"
        raise ImageError(f"expected RGB images of shape (N, 3, H, W), but {tuple(x.shape)} came{hint}.")
    if x.shape[0] == 0:
        raise ImageError("the batch is empty: pass at least one image.")
    if 0 in x.shape:
        raise ImageError(
            f"the images are {x.shape[3]}×{x.shape[2]} px and so hold no pixels: check where they come from."
        )
    if x.dtype not in _PIXELS:
        raise ImageError(
            f"expected pixels as floats in [0, 1], but {x.dtype} came: use x.float() / 255 for 8-bit images."
        )
    if x.is_meta:
        raise ImageError("the images are on the device 'meta', which holds no pixels: move them to a real device.")
    if overshoot is None or is_traced() or _reaches(x) <= overshoot:
        return
    number, image = next((number, image) for number, image in enumerate(x) if not _reaches(image) <= overshoot)
    said = f"image {number} of the batch of {len(x)} has"
    if not image.isfinite().all():
        raise ImageError(f"{said} NaN or infinite pixels: check where it comes from.", Kind.NOT_FINITE)
    if overshoot == ANY_RANGE:
        raise ImageError(f"{said} pixels beyond ±{overshoot:g}, where scores overflow: check where it comes from.")
    least, most = (bound.item() for bound in image.aminmax())
    raise ImageError(
        f"{said} pixels from {least:.4g} to {most:.4g}, far outside [0, 1]: divide 8-bit pixels by 255 (torchmetrics' "
        "and piq's classes take data_range=255), turn [-1, 1] into [0, 1] by (x + 1) / 2, or clamp."
    )


def _reaches(x: Tensor) -> float:
    """Return how far pixels lie outside [0, 1] at most; NaN if one is NaN. The extremes are found in one pass."""
    least, most = x.detach().aminmax()
    return torch.maximum(-least, most - 1).item()


def check_features(features: Any, width: int, more: bool) -> None:
    """Raise unless these are unit features ``(N, D)`` or ``(N, D, h, w)``, D being ``width``, or ``more``."""
    if not isinstance(features, Tensor) or features.layout != torch.strided or features.is_nested:
        raise CLIPIQAError(f"expected image features, as encode_image gives them, but {shown(features)} came.")
    fits = features.dim() in (2, 4) and (features.shape[1] == width or (more and features.shape[1] > width))
    if features.dtype not in _PIXELS or features.is_meta or not fits:
        raise CLIPIQAError(
            f"expected image features of shape (N, {width}), as encode_image gives them, but {tuple(features.shape)} "
            f"({features.dtype}, {features.device}) came."
        )
    if is_traced() or not features.numel():
        return
    lengths = features.detach()[:, :width].float().square().sum(dim=1)
    if ((lengths - 1).abs() >= 0.05).any():  # rounding to bf16 changes them by less than 0.01; NaN scores NaN
        low, high = (bound.sqrt() for bound in lengths.aminmax())
        raise CLIPIQAError(
            f"expected image features of length 1, as encode_image gives them, but their lengths are {low:.4g} to "
            f"{high:.4g}: use torch.nn.functional.normalize(features, dim=1)."
        )
