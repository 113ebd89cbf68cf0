"""Images in memory: what bytes, a PIL image, an array, a tensor or a dict means as an image."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..clip.inputs import OVERSHOOT
from ..errors import ImageError, Kind, shown
from .reader import ImageRecord, decoding, depth_of, finished, make_room, orientation_of, read_image, rgb_pixels

_CHANNELS = (1, 3, 4)
_ROUNDING = 1e-4  # distance from [0, 1] that rounding explains
_loading = threading.Lock()  # PIL cannot load an image in two threads at once, and a list may hold an image twice


@dataclass(frozen=True)
class MemoryImage:
    """One image in memory.

    Attributes:
        name: Name in messages, such as ``'image 3'``.
        image: A path; bytes of an image file; a PIL image; a dict with one of these or an array as ``bytes``, ``path``
            or ``array``; or an array or tensor ``(H, W)``, ``(H, W, C)`` or ``(C, H, W)`` with 1, 3 or 4 channels (the
            fourth is alpha), in uint8, uint16 or floats in [0, 1].
    """

    name: str
    image: Any

    def load(self, **limits: Any) -> ImageRecord:
        """Return the pixels; ``limits`` are options of :func:`~clipiqa_pyiqa.images.reader.read_image`.

        Files and PIL images become 8-bit RGB. Of uint16, the high byte is kept, as of 16-bit files; floats stay floats.

        Raises:
            ImageError: This is no image, the image cannot be read, or it is unclear which values or axes it has.
        """
        image, name = _out_of_dict(self.image), self.name
        if isinstance(image, str | os.PathLike):
            return read_image(image, **limits)
        if isinstance(image, bytes | bytearray | memoryview):
            return read_image(_Bytes(name, bytes(image)), **limits)
        limits.pop("damaged", None)
        room = limits.get("max_side"), limits.get("max_pixels")
        with decoding(name):
            if isinstance(image, Image.Image):
                make_room(name, image.width, image.height, *room)
                with _loading:
                    depth = depth_of(image)
                    image.load()
                rgb, converted = rgb_pixels(name, image, depth)
                return finished(name, rgb, orientation_of(name, image), converted, **limits)
            samples = _samples(name, image)
            make_room(name, samples.shape[1], samples.shape[0], *room)
            pixels, converted = _rgb(name, samples)
            return finished(name, pixels.cpu().numpy(), 1, converted, **limits)

    def tensor(self) -> Tensor:
        """Return ``(3, H, W)`` in fp32 in [0, 1], on a tensor's own device. Raises as :meth:`load`.

        Floats may lie 0.5 outside [0, 1], as networks overshoot, and are clamped.
        """
        image = _out_of_dict(self.image)
        if isinstance(image, Tensor | np.ndarray):
            pixels = _rgb(self.name, _samples(self.name, image), OVERSHOOT)[0].permute(2, 0, 1)
        else:
            pixels = self.load().pixels
        return pixels if pixels.is_floating_point() else pixels.float() / 255


@dataclass(frozen=True)
class _Bytes:
    name: str
    data: bytes

    def read(self) -> bytes:
        return self.data


def memory_images(images: Any) -> Iterator[MemoryImage]:
    """Yield the images of a list, of a column of a table, or of a batch ``(N, H, W, C)`` or ``(N, C, H, W)``.

    What is itself an image, such as an array ``(H, W, C)``, is one image.
    """
    single = str | os.PathLike | bytes | bytearray | memoryview | Mapping | Image.Image
    if hasattr(images, "to_pylist"):  # a column of Arrow or Daft
        images = images.to_pylist()
    is_one = isinstance(images, single) or getattr(images, "ndim", 0) in (2, 3) or not isinstance(images, Iterable)
    for number, image in enumerate([images] if is_one else images):
        yield MemoryImage(f"image {number}", image)


def to_tensors(images: Any) -> list[Tensor]:
    """Return images, as :func:`memory_images` takes them, as ``(3, H, W)`` in fp32 in [0, 1]; raise ``ImageError``."""
    return [image.tensor() for image in memory_images(images)]


def _out_of_dict(image: Any) -> Any:
    if not isinstance(image, Mapping):
        return image
    return next((image[key] for key in ("bytes", "path", "array") if image.get(key) is not None), None)


def _samples(name: str, image: Any) -> Tensor:
    """Return an array or tensor as ``(H, W, C)``."""
    if isinstance(image, Tensor):
        samples = image.detach()
    else:
        array = np.asarray(image) if hasattr(image, "__array__") else np.empty(0, object)
        if array.dtype.kind not in "biuf":
            raise ImageError(
                f"is no image: it is {shown(image)}, not a path, bytes, a PIL image, an array (H, W, 3), a tensor "
                "(3, H, W), or a dict with bytes, path or array",
                *(Kind.MISSING if image is None else Kind.NOT_AN_IMAGE, name),
            )
        dtype = np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
        samples = torch.from_numpy(np.array(array, dtype, order="C"))  # a copy: a read-only array would raise a warning
    if samples.dim() == 2:
        return samples[..., None]
    fitting = [axis for axis in (0, 2) if samples.dim() == 3 and samples.shape[axis] in _CHANNELS]
    if len(fitting) != 1:
        problem = "both its first and its last axis could" if fitting else "neither its first nor its last axis can"
        raise ImageError(
            f"has shape {tuple(samples.shape)}, where {problem} be channels (1, 3 or 4): pass an array (H, W, 3) or a "
            "tensor (3, H, W)",
            *(Kind.NOT_AN_IMAGE, name),
        )
    return samples if fitting == [2] else samples.permute(1, 2, 0)


def _rgb(name: str, samples: Tensor, slack: float = _ROUNDING) -> tuple[Tensor, str]:
    """Return ``(H, W, 3)`` in uint8, or in fp32 in [0, 1], and the conversion."""
    depth = ""
    if samples.dtype == torch.uint16:
        samples, depth = (samples.to(torch.int32) >> 8).to(torch.uint8), "16-bit "
    elif samples.is_floating_point():
        samples = _in_range(name, samples.float(), slack)
    elif samples.dtype != torch.uint8:
        kind = str(samples.dtype).removeprefix("torch.")
        problem = f"has {kind} samples, whose value of white is unknown: pass uint8, uint16 or floats in [0, 1]"
        raise ImageError(problem, Kind.UNCLEAR_SCALE, name)
    channels = samples.shape[2]
    if channels == 4 and samples.dtype == torch.uint8:
        pixels, converted = rgb_pixels(name, Image.fromarray(samples.cpu().contiguous().numpy()), 8)
        return torch.from_numpy(pixels), depth + converted
    if channels == 4:
        alpha = samples[..., 3:]
        return samples[..., :3] * alpha + (1 - alpha), "rgb+alpha->rgb on white"
    converted = f"{depth}grey->rgb" if channels == 1 else f"{depth}rgb->rgb" if depth else ""
    return samples.expand(-1, -1, 3).contiguous(), converted


def _in_range(name: str, samples: Tensor, slack: float) -> Tensor:
    low, high = (bound.item() for bound in samples.aminmax()) if samples.numel() else (0.0, 0.0)
    if low >= -slack and high <= 1 + slack:
        return samples.clamp(0, 1)
    if not samples.isfinite().all():
        raise ImageError("has NaN or infinite values", Kind.NOT_FINITE, name)
    raise ImageError(
        f"has values from {low:.4g} to {high:.4g}, outside [0, 1]: divide 8-bit values by 255, turn [-1, 1] into "
        "[0, 1] by (x + 1) / 2, or clamp",
        *(Kind.UNCLEAR_SCALE, name),
    )
