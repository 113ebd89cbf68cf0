"""Images in memory: bytes, PIL images, arrays, tensors and dicts."""

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...errors import ImageError, Kind
from ...text import shown
from .image import BytesImage, File
from .image import Image as AnyImage
from .reader import orientation_of
from .reading_memory import MakeRoom
from .record import UPRIGHT, Decoded
from .rgb import depth_of, rgb_pixels

_FILE = bytes | bytearray | memoryview
_ROUNDING = 1e-4  # largest distance from [0, 1] that rounding explains
_loading = threading.Lock()  # PIL cannot load an image in two threads at once, and a list may hold an image twice


def memory_images(images: Any) -> Iterator[AnyImage]:
    """Yield the images of a list, of a column of a table, or of a batch ``(N, H, W, C)`` or ``(N, C, H, W)``.

    An image, as for :func:`memory_image`, counts as one.
    """
    if hasattr(images, "to_pylist"):  # a column of Arrow or Daft
        images = images.to_pylist()
    if (
        isinstance(images, str | Mapping | _FILE)
        or not hasattr(images, "__iter__")
        or hasattr(images, "read")
        or getattr(images, "ndim", 1) in (0, 2, 3)
    ):
        images = [images]
    for number, image in enumerate(images):
        yield memory_image(f"image {number}", image)


def memory_image(name: str, image: Any) -> AnyImage:
    """Return an image to be scored.

    Args:
        name: Name in messages, such as ``'image 3'``; a path is its own name.
        image: A path; an open image file or its bytes; a PIL image; an array or tensor ``(H, W)``, ``(H, W, C)`` or
            ``(C, H, W)`` with 1, 3 or 4 channels (the fourth is alpha), in uint8, uint16 or floats in [0, 1]; or a dict
            with one of these as ``bytes``, ``path`` or ``array``. Anything else raises ``ImageError`` when it is read.
    """
    if isinstance(image, Mapping):
        image = next((image[key] for key in ("bytes", "path", "array") if image.get(key) is not None), None)
    if hasattr(image, "read"):
        image = image.read()
    if isinstance(image, str | os.PathLike):
        return File(os.fspath(image))
    if isinstance(image, _FILE):
        return BytesImage(name, bytes(image))
    return _Pixels(name, image)


@dataclass
class _Pixels(AnyImage):
    name: str
    image: Any

    def decoded(self, make_room: MakeRoom) -> Decoded:
        if isinstance(self.image, Image.Image):
            make_room(*self.image.size)
            return self._decoded_picture()
        samples = _channels_last(_as_tensor(self.image))
        height, width = samples.shape[:2]
        make_room(width, height)
        return _decoded_samples(_as_uint8_or_unit_floats(samples))

    def _decoded_picture(self) -> Decoded:
        with _loading:
            depth = depth_of(self.image)
            picture = self.image.copy()
        pixels, converted = rgb_pixels(picture, depth)
        return Decoded(pixels, orientation_of(picture), converted)


def _decoded_samples(samples: Tensor) -> Decoded:
    """Return samples of 1, 3 or 4 channels, in uint8 or in fp32 in [0, 1], as RGB."""
    if samples.shape[2] < 4:
        rgb = samples.expand(-1, -1, 3).contiguous().cpu().numpy()
    elif samples.dtype == torch.uint8:
        rgb, _ = rgb_pixels(Image.fromarray(samples.cpu().numpy()), 8)
    else:
        alpha = samples[..., 3:]
        rgb = (samples[..., :3] * alpha + (1 - alpha)).cpu().numpy()
    return Decoded(rgb, UPRIGHT, "")


def _as_tensor(image: Any) -> Tensor:
    if isinstance(image, Tensor):
        return image.detach()
    array = np.asarray(image if hasattr(image, "__array__") else None)
    if array.dtype.kind not in "biuf":
        raise ImageError(
            f"is not an image: it is {shown(image)}, not a path, bytes, a PIL image, an array (H, W, 3), a "
            "tensor (3, H, W), or a dict with bytes, path or array",
            Kind.NOT_AN_IMAGE,
        )
    dtype = np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    return torch.from_numpy(np.array(array, dtype, order="C"))  # a copy: torch warns of read-only arrays


def _channels_last(samples: Tensor) -> Tensor:
    """Return samples as ``(H, W, 1)``, ``(H, W, 3)`` or ``(H, W, 4)``."""
    if samples.dim() == 2:
        return samples[..., None]
    channel_axes = [axis for axis in (0, 2) if samples.dim() == 3 and samples.shape[axis] in (1, 3, 4)]
    if channel_axes == [2]:
        return samples
    if channel_axes == [0]:
        return samples.permute(1, 2, 0)
    raise ImageError(
        f"has shape {tuple(samples.shape)}, where either the first or the last axis must be channels (1, 3 or "
        "4), and not both: pass an array (H, W, 3) or a tensor (3, H, W)",
        Kind.NOT_AN_IMAGE,
    )


def _as_uint8_or_unit_floats(samples: Tensor) -> Tensor:
    """Return samples as uint8, or as fp32 in [0, 1]."""
    if samples.dtype == torch.uint8:
        return samples
    if samples.dtype == torch.uint16:  # the high byte, as of 16-bit files
        return (samples.to(torch.int32) >> 8).to(torch.uint8)
    if not samples.is_floating_point():
        raise ImageError(
            f"has {samples.dtype} samples, whose value of white is unknown: pass uint8, uint16 or floats in [0, 1]",
            Kind.UNCLEAR_SCALE,
        )
    samples = samples.float()
    if not samples.isfinite().all():
        raise ImageError("has NaN or infinite values: check its source", Kind.NOT_FINITE)
    if not ((samples - 0.5).abs() <= 0.5 + _ROUNDING).all():
        low, high = samples.aminmax()
        raise ImageError(
            f"has values from {low:.4g} to {high:.4g}, outside [0, 1]: divide 8-bit values by 255, turn "
            "[-1, 1] into [0, 1] by (x + 1) / 2, or clamp",
            Kind.UNCLEAR_SCALE,
        )
    return samples.clamp(0, 1)
