"""Images that callers hold (arrays, tensors, PIL images) as tensors in [0, 1]."""

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..checks import OVERSHOOT
from ..errors import ImageError, Kind
from ..text import reason_of, shown


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
