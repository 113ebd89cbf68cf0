"""What may be asked: batches of images as pixels, and features of images, or one sentence that says what is wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import CLIPIQAError, ImageError, Kind, shown
from .gradient import is_traced

_PIXELS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_MOST = 1e6  # that a pixel may be; white is 1, or 255 or 65535 where somebody forgot to divide


def check_images(x: Any, finite: bool = True) -> None:
    """Raise :class:`ImageError` unless ``x`` is a batch of RGB images in a floating dtype, if asked ``finite``."""
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
    if finite and not is_traced() and not _all_finite(x):
        bad = next(number for number, image in enumerate(x) if not _all_finite(image))
        found = "NaN or infinite pixels"
        if x[bad].isfinite().all():
            found = f"pixels beyond ±{_MOST:g}, where scores would overflow"
        said = f"image {bad} of the batch of {len(x)} has {found}: check where it comes from."
        raise ImageError(said, Kind.NOT_FINITE)


def _all_finite(x: Tensor) -> bool:
    """Whether all pixels are numbers and none is absurd: both show in the extremes, found faster than one by one."""
    return bool((torch.stack(x.detach().aminmax()).abs() <= _MOST).all())


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
