"""Reading of image files as 8-bit RGB; pixels of plain files are equal to pyiqa's."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import math
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from ..errors import ImageError, Kind, Reading, Sizes, log, reason
from .formats import RAW, readable_formats
from .memory import MakeRoom, set_aside

try:
    import simplejpeg
except ImportError:  # no wheel for this machine
    simplejpeg = None

_DAMAGE = re.compile(r"Corrupt JPEG data: ((?:(\d+) extraneous bytes before marker 0x(..))?.*)")
_END = b"\xff\xd9"
_IN_PICTURE = {0xC4, 0xDA, *range(0xD0, 0xD8), _END[1]}  # markers that follow a part of the picture


def decode_jpeg(data: bytes, mode: str) -> tuple[Pixels | None, str]:
    """Return pixels ``(H, W, 3)``, or None if PIL must decode, and the damage as part of a sentence, or ``''``."""
    if not simplejpeg or mode not in ("L", "RGB"):
        return None, ""
    try:
        pixels = simplejpeg.decode_jpeg(data, strict=True)
    except (ValueError, MemoryError) as error:
        return None, _damage(data, str(error))
    return pixels if decodes_like_pil() else None, ""


@functools.cache
def decodes_like_pil() -> bool:
    image, file = Image.merge("RGB", [Image.effect_noise((83, 45), 90) for _ in "RGB"]), io.BytesIO()
    image.save(file, "JPEG")
    return np.array_equal(simplejpeg.decode_jpeg(file.getvalue()), np.asarray(Image.open(file)))


def _damage(data: bytes, warning: str) -> str:
    found = _DAMAGE.search(warning)
    if not found:
        return ""  # other warnings of libjpeg are not about the picture
    damage, count, marker = found.groups()
    is_between_headers = marker and int(marker, 16) not in _IN_PICTURE
    is_padding = marker == "d9" and bytes(int(count)) + _END in data
    return "" if is_between_headers or is_padding else damage


_KINDS = {"1": "bilevel", "L": "grey", "P": "palette", "RGBX": "rgb"}  # of other modes, the name in lower case
_ORIENTATION_TAG = 0x0112

Pixels = NDArray[Any]  # (H, W, 3), in uint8 or in fp32 in [0, 1]
STRIP = 4 * 1024 * 1024  # pixels that are converted at once


@dataclass(frozen=True)
class ImageRecord:
    """One image for scoring, and how it was read.

    Attributes:
        pixels: (3, H, W) RGB, uint8, or fp32 in [0, 1] for an image of floats; a view of (H, W, 3) memory.
        converted: Conversion to RGB, such as ``'grey->rgb'``, or ``''``.
        reference: Pixels of the reference image, of the same shape, or why there is none; of a set, folders of files.
    """

    pixels: torch.Tensor
    width: int
    height: int
    orientation: int
    converted: str
    reference: Any = "there are no reference images"

    @classmethod
    def of(cls, pixels: torch.Tensor, **more: Any) -> ImageRecord:
        """Return the record of pixels that were made here, ``(3, H, W)`` uint8 or floats in [0, 1]."""
        return cls(pixels, pixels.shape[2], pixels.shape[1], 1, "", **more)

    @property
    def picture(self) -> Image.Image:
        return Image.fromarray(self.pixels.permute(1, 2, 0).numpy())  # (3, H, W) -> (H, W, 3)

    @property
    def shape(self) -> torch.Size:
        return self.pixels.shape

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[2], self.pixels.shape[1]


class Decoded(NamedTuple):
    pixels: Pixels
    orientation: int
    converted: str
    damage: str = ""


_lock, _before = threading.Lock(), list[bool]()


@contextlib.contextmanager
def whole_files() -> Iterator[None]:
    """Let PIL refuse truncated files in this context; the last of several threads restores the caller's setting."""
    with _lock:
        _before.append(ImageFile.LOAD_TRUNCATED_IMAGES)  # which pyiqa's data sets set to True
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        with _lock:
            last = _before.pop()
            ImageFile.LOAD_TRUNCATED_IMAGES = last and not _before  # the caller's setting is the first


@contextlib.contextmanager
def named_errors(path: str) -> Iterator[None]:
    """Raise all errors of reading as an ``ImageError`` with the image's name; files are read as by ``whole_files``."""
    try:
        with whole_files():
            yield
    except ImageError as error:
        raise ImageError(error.reason, error.kind, error.name or path) from error
    except FileNotFoundError as error:
        raise ImageError("does not exist", Kind.MISSING, path) from error
    except UnidentifiedImageError as error:
        problem = "is not an image in a format that can be read, or its beginning is damaged"
        raise ImageError(problem, Kind.NOT_AN_IMAGE, path) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, PIL's limit against decompression bombs; if "
            "you trust the file, raise it (--huge, in Python PIL.Image.MAX_IMAGE_PIXELS = None)",
            Kind.TOO_LARGE,
            path,
        ) from error
    except MemoryError as error:
        raise ImageError("does not fit in memory when decoded", Kind.OUT_OF_MEMORY, path) from error
    except Exception as error:  # for damaged files PIL raises many kinds of errors, from SyntaxError to struct.error
        if code := getattr(error, "errno", None):
            kind = Kind.NOT_A_FILE if code in (errno.EISDIR, errno.EINVAL) else Kind.UNREADABLE
            raise ImageError(f"cannot be opened: {reason(error)}", kind, path) from error
        raise ImageError(f"is truncated or damaged: {reason(error)}", Kind.DAMAGED, path) from error


def load(image: Any, reading: Reading) -> ImageRecord:
    """Return the record of an image. Raises ``ImageError``."""
    path = image.name

    def make_room(width: int, height: int) -> None:
        _check_size(width, height, reading)
        set_aside(path, width, height, _limited(width, height, reading))

    with named_errors(path):
        rgb, orientation, converted, damage = image.decoded(make_room)
        if damage and reading.damaged != "keep":
            raise ImageError(f"is a damaged JPEG with {damage}; damaged='keep' scores it as it is", Kind.DAMAGED)
        if reading.apply_exif and orientation != 1:
            upright = Image.fromarray(rgb)
            upright.getexif()[_ORIENTATION_TAG] = orientation
            rgb = np.array(ImageOps.exif_transpose(upright))
        height, width = rgb.shape[:2]
        scored = _limited(width, height, reading)
        if scored != (width, height):
            _check_size(*scored, reading, f"the image, shrunk from {width}×{height},")
            rgb = _resized(rgb, scored)
    pixels = torch.from_numpy(rgb).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    return ImageRecord(pixels, width, height, orientation, converted)


def decode(path: str, data: bytes, make_room: MakeRoom) -> Decoded:
    if not data:
        raise ImageError("is empty (0 bytes)", Kind.EMPTY)
    if os.path.splitext(path)[1].lower() in RAW:
        raise ImageError("is a RAW file: convert it to PNG or TIFF", Kind.NOT_AN_IMAGE)
    with Image.open(io.BytesIO(data), formats=readable_formats()) as image:
        make_room(image.width, image.height)
        # Loading drops the depth, and turns a TIFF upright: take depth and orientation first.
        depth = depth_of(image)
        orientation = taken_orientation(path, image) if image.format == "TIFF" else 0
        pixels, damage = decode_jpeg(data, image.mode) if image.format in ("JPEG", "MPO") else (None, "")
        if pixels is None:
            image.load()
        orientation = orientation or taken_orientation(path, image)
        converted = "" if image.mode == "RGB" else "grey->rgb"
        if pixels is None:  # PIL gives a TIFF the size of the turned image; a copy has the size of its pixels
            is_turned = image.format == "TIFF" and orientation > 4
            pixels, converted = rgb_pixels(image.copy() if is_turned else image, depth)
        with contextlib.suppress(Exception):  # damage of other frames
            if image.format != "MPO" and (frames := getattr(image, "n_frames", 1)) > 1:
                converted = f"{converted}, frame 1 of {frames}".removeprefix(", ")
        return Decoded(pixels, orientation, converted, damage)


def _check_size(width: int, height: int, reading: Reading, cause: str = "it") -> None:
    if min(width, height) < reading.min_side:
        raise ImageError(
            f"is too small: {cause} is {width}×{height} pixels, and both sides must be at least {reading.min_side}",
            Kind.TOO_SMALL,
        )


def taken_orientation(path: str, image: Image.Image) -> int:
    """Remove the orientation from an image's EXIF data; return it, or 1 if it is missing or unknown."""
    try:
        value = image.getexif().pop(_ORIENTATION_TAG, 1)
    except Exception as error:  # damaged EXIF data raises many kinds of errors
        log.warning(f"{path!r} has damaged EXIF data ({reason(error)}): the image is taken as upright")
        return 1
    return value if value in range(1, 9) else 1


def depth_of(image: Image.Image) -> int:
    """Return the bits per sample, from PIL's name of the raw layout, such as 'RGB;16B'.

    PIL's mode 'I' has 32 bits, but is also the mode of 16-bit PGM.
    """
    layouts = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    if ";32" in layouts or (image.mode == "I" and not layouts):
        return 32
    return 16 if ";16" in layouts else 12 if ";12" in layouts else 8


def rgb_pixels(image: Image.Image, depth: int) -> tuple[Pixels, str]:
    width, height = image.size
    rows, converted = max(1, STRIP // width), ""
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        part = image if rows >= height else image.crop((0, top, width, bottom))
        strip, converted = _to_rgb(part, depth)
        pixels[top:bottom] = np.asarray(strip)
    return pixels, converted


def _to_rgb(image: Image.Image, depth: int) -> tuple[Image.Image, str]:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        samples = np.asarray(image)
        if image.mode == "F" or depth == 32 or samples.min() < 0:
            problem = (
                f"has {'floating-point' if image.mode == 'F' else '32-bit'} samples, whose value of white is unknown"
            )
            raise ImageError(f"{problem}; save the image with 8 or 16 bits", Kind.UNCLEAR_SCALE)
        bits = 12 if depth == 12 else 16
        return Image.fromarray((samples >> (bits - 8)).astype(np.uint8)).convert("RGB"), f"{bits}-bit grey->rgb"
    mode = image.mode.removesuffix("A")
    kind = _KINDS.get(mode, mode.lower())
    if depth > 8:
        kind = f"{depth}-bit {kind}"
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB"), f"{kind}+alpha->rgb on white"
    if image.mode == "RGB":
        return image, f"{kind}->rgb" if depth > 8 else ""  # PIL has already kept the high byte
    return image.convert("RGB"), f"{kind}->rgb"


def shrunk(pixels: torch.Tensor, sizes: Sizes) -> torch.Tensor:
    """Return pixels ``(3, H, W)``, uint8 or floats in [0, 1], of the size that :func:`load` would give them."""
    height, width = pixels.shape[1:]
    size = _limited(width, height, sizes)
    if size == (width, height):
        return pixels
    rgb = _resized(pixels.permute(1, 2, 0).numpy(), size)  # (3, H, W) -> (H, W, 3)
    return torch.from_numpy(rgb).permute(2, 0, 1)


def _resized(rgb: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    if rgb.dtype == np.uint8:
        return np.array(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))
    channels = [np.asarray(Image.fromarray(rgb[..., n]).resize(size, Image.Resampling.LANCZOS)) for n in range(3)]
    return np.dstack(channels).clip(0, 1)


def _limited(width: int, height: int, sizes: Sizes) -> tuple[int, int]:
    by_side = (sizes.max_side or math.inf) / max(width, height)
    by_pixels = math.sqrt((sizes.max_pixels or math.inf) / (width * height))
    scale = min(1.0, by_side, by_pixels)
    if scale == 1.0:
        return width, height
    return max(1, int(width * scale + 1e-6)), max(1, int(height * scale + 1e-6))
