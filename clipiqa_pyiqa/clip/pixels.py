"""Images and features that callers pass: checked, and arrays, tensors and PIL images made tensors in [0, 1]."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from ..checks import OVERSHOOT
from ..errors import CLIPIQAError, ImageError, Kind
from ..text import reason_of, shown
from .gradient import is_traced

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

ANY_RANGE = 1e6
"""Largest allowed distance if pixels may have any range: beyond this distance scores overflow."""


def check_images(x: Any, overshoot: float | None, least: int, name: str) -> float:
    """Return how far pixels lie outside [0, 1], after checks of a batch of images; 0 if it is not asked.

    Args:
        overshoot: How far they may lie outside; None accepts every value, also NaN.
        least: The smallest side.
        name: The metric.

    Raises:
        ImageError: ``x`` is no batch of RGB or grey images in a floating dtype, or a pixel lies further outside.
    """
    if not isinstance(x, Tensor) or x.layout != torch.strided or x.is_meta:
        raise ImageError(
            f"images must be a dense tensor of shape (N, 3, H, W); got a {type(x).__name__}: "
            "score_images takes files, PIL images and arrays.",
            options=("images",),
        )
    if x.dim() != 4 or x.shape[1] not in (1, 3):
        hint = ""
        if x.dim() == 3:
            hint = "; for a single image use x.unsqueeze(0)"
        if x.dim() == 4 and x.shape[-1] in (1, 3):
            hint = ", which looks like (N, H, W, 3): use x.permute(0, 3, 1, 2)"
        raise ImageError(f"images must be RGB of shape (N, 3, H, W); got {tuple(x.shape)}{hint}.", options=("images",))
    if not x.numel():
        raise ImageError(f"images must not be empty; got a batch of shape {tuple(x.shape)}.", options=("images",))
    if x.dtype not in _DTYPES:
        raise ImageError(f"pixels must be floats in [0, 1]; got {x.dtype}: use x.float() / 255 for 8-bit images.")
    if min(x.shape[-2:]) < least:
        raise ImageError(
            f"the image is {x.shape[-1]}×{x.shape[-2]} px, but {name} needs at least {least} px on each side: use a "
            "larger image.",
            Kind.TOO_SMALL,
        )
    if overshoot is None or is_traced():
        return 0.0
    reach = _reach(x)
    if not reach <= overshoot:  # also if it is NaN
        _raise_for_pixels(x, overshoot)
    return reach


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
    if not isinstance(features, Tensor) or features.dtype not in _DTYPES or features.dim() not in (2, 4):
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


def to_tensors(images: Any) -> list[Tensor]:
    """Return images as RGB ``(3, H, W)`` in fp32 in [0, 1], without gradient; tensors stay on their device.

    Args:
        images: a batch ``(N, 3, H, W)`` or ``(N, H, W, 3)``, a list of images, or one image: an array or tensor
            ``(H, W, 3)``, ``(3, H, W)`` or, if grey, with one channel or ``(H, W)``; or a PIL image in mode RGB or L.
            Floats may lie 0.5 outside [0, 1], and are clamped.

    Raises:
        ImageError: one of them is no such image.
    """
    return [_rgb(image, f"image {number}") for number, image in enumerate(_one_by_one(images))]


def blackened(images: Any) -> tuple[list[Any], Tensor]:
    """Return images with black ones in place of those with NaN or infinity, and which are finite ``(N,)``.

    Args:
        images: as for :func:`to_tensors`.
    """
    singles = _one_by_one(images)
    are_finite = [_is_finite(image) for image in singles]
    usable = [image if is_finite else _black_like(image) for image, is_finite in zip(singles, are_finite, strict=True)]
    return usable, torch.tensor(are_finite, dtype=torch.bool)


def _one_by_one(images: Any) -> list[Any]:
    """Return the images of a batch or a list, or the only image, in a list."""
    is_one_image = not isinstance(images, list | tuple) and getattr(images, "ndim", 0) != 4
    return [images] if is_one_image else list(images)


def _is_finite(image: Any) -> bool:
    if isinstance(image, Tensor):
        return bool(image.isfinite().all())
    if isinstance(image, np.ndarray) and image.dtype.kind == "f":
        return bool(np.isfinite(image).all())
    return True


def _black_like(image: Any) -> Tensor:
    """Return a black image of the same shape, on the device of a tensor."""
    return torch.zeros_like(image) if isinstance(image, Tensor) else torch.zeros(image.shape)


def _rgb(image: Any, name: str) -> Tensor:
    pixels = _in_unit_range(_samples(image, name), name)
    if pixels.dim() == 2:
        pixels = pixels[None]
    is_first_axis = pixels.dim() == 3 and pixels.shape[0] in (1, 3)
    is_last_axis = pixels.dim() == 3 and pixels.shape[2] in (1, 3)
    if is_first_axis == is_last_axis:
        raise ImageError(
            f"has shape {tuple(pixels.shape)}, where either the first or the last axis must be channels (1 or 3), and "
            "not both: pass an array (H, W, 3) or a tensor (3, H, W)",
            Kind.NOT_AN_IMAGE,
            name,
        )
    channels_first = pixels if is_first_axis else pixels.permute(2, 0, 1)
    return channels_first.expand(3, -1, -1)


def _samples(image: Any, name: str) -> Tensor:
    """Return the numbers of an image, in its own shape and dtype."""
    if isinstance(image, Tensor):
        return image.detach()
    from PIL import Image, ImageOps  # not at the top: a tensor needs no PIL

    if isinstance(image, Image.Image):
        if image.mode not in ("RGB", "L"):
            raise ImageError(
                f"is a PIL image in mode {image.mode}, not RGB or L: use image.convert('RGB')", Kind.NOT_AN_IMAGE, name
            )
        try:
            return torch.from_numpy(np.array(ImageOps.exif_transpose(image)))
        except (OSError, ValueError, SyntaxError) as error:  # PIL reads the file only now
            raise ImageError(f"cannot be read: {reason_of(error)}", Kind.UNREADABLE, name) from error
    if hasattr(image, "__array__"):
        array = np.array(image, order="C")  # a copy: torch warns of read-only arrays
        if array.dtype.kind in "buif":
            return torch.from_numpy(array)
    raise ImageError(
        f"is not an image: it is {shown(image)}, not a PIL image, an array (H, W, 3) or a tensor (3, H, W)",
        Kind.NOT_AN_IMAGE,
        name,
    )


def _in_unit_range(samples: Tensor, name: str) -> Tensor:
    """Return samples in uint8 or floats as fp32 in [0, 1]."""
    if samples.dtype == torch.uint8:
        return samples.float() / 255
    if not samples.is_floating_point():
        raise ImageError(
            f"has {samples.dtype} samples, whose value of white is unknown: pass uint8 or floats in [0, 1]",
            Kind.UNCLEAR_SCALE,
            name,
        )
    samples = samples.float()
    if not samples.isfinite().all():
        raise ImageError("has NaN or infinite values: check its source", Kind.NOT_FINITE, name)
    if not ((samples - 0.5).abs() <= 0.5 + OVERSHOOT).all():
        low, high = samples.aminmax()
        raise ImageError(
            f"has values from {low:.4g} to {high:.4g}, outside [0, 1]: divide 8-bit values by 255, turn [-1, 1] into "
            "[0, 1] by (x + 1) / 2, or clamp",
            Kind.UNCLEAR_SCALE,
            name,
        )
    return samples.clamp(0, 1)
