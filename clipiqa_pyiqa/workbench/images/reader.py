"""Reading of image files as 8-bit RGB; pixels of plain files are equal to pyiqa's."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps

from ...errors import ImageError, Kind
from ...logger import log
from ...text import reason
from ..options import Reading
from .formats import RAW, readable_formats
from .jpeg import decode_jpeg
from .reading_errors import named_errors
from .reading_memory import MakeRoom, set_aside
from .record import Decoded, ImageRecord, Pixels
from .rgb import depth_of, rgb_pixels
from .sizes import check_size, limited, resized

if TYPE_CHECKING:
    from .image import Image as AnyImage

_ORIENTATION_TAG = 0x0112


def load(image: AnyImage, reading: Reading) -> ImageRecord:
    """Return the record of an image. Raises ``ImageError``."""

    def make_room(width: int, height: int) -> None:
        check_size(width, height, reading)
        set_aside(image.name, width, height, limited(width, height, reading))

    with named_errors(image.name):
        rgb, orientation, converted, damage = image.decoded(make_room)
        if damage and reading.damaged != "keep":
            raise ImageError(
                f"is a damaged JPEG with {damage}; with damaged set to 'keep', it is scored as it is",
                Kind.DAMAGED,
            )
        if reading.apply_exif and orientation != 1:
            rgb = _upright(rgb, orientation)
        height, width = rgb.shape[:2]
        scored_size = limited(width, height, reading)
        if scored_size != (width, height):
            check_size(*scored_size, reading, f"the image, shrunk from {width}×{height},")
            rgb = resized(rgb, scored_size)
    pixels = torch.from_numpy(rgb).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    return ImageRecord(pixels, width, height, orientation, converted)


def _upright(rgb: Pixels, orientation: int) -> Pixels:
    turned = Image.fromarray(rgb)
    turned.getexif()[_ORIENTATION_TAG] = orientation
    return np.array(ImageOps.exif_transpose(turned))


def decode(path: str, data: bytes, make_room: MakeRoom) -> Decoded:
    """Return the pixels of an image file as they are stored, neither turned nor shrunk."""
    if not data:
        raise ImageError("is empty (0 bytes)", Kind.EMPTY)
    if os.path.splitext(path)[1].lower() in RAW:
        raise ImageError("is a RAW file: convert it to PNG or TIFF", Kind.NOT_AN_IMAGE)
    with Image.open(io.BytesIO(data), formats=readable_formats()) as image:
        make_room(image.width, image.height)
        if image.format in ("JPEG", "MPO"):
            decoded = _decoded_jpeg(path, data, image)
        elif image.format == "TIFF":
            decoded = _decoded_tiff(path, image)
        else:
            decoded = _decoded_by_pil(path, image)
        frames = _frame_count(image)
    if frames > 1:
        converted = f"{decoded.converted}, frame 1 of {frames}".removeprefix(", ")
        return decoded._replace(converted=converted)
    return decoded


def _decoded_jpeg(path: str, data: bytes, image: Image.Image) -> Decoded:
    pixels, damage = decode_jpeg(data, image.mode)
    if pixels is None:
        return _decoded_by_pil(path, image)._replace(damage=damage)
    orientation = read_orientation(path, image)
    converted = "" if image.mode == "RGB" else "grey->rgb"
    return Decoded(pixels, orientation, converted)


def _decoded_tiff(path: str, image: Image.Image) -> Decoded:
    depth = depth_of(image)
    orientation = read_orientation(path, image)
    if orientation > 1:
        del image.getexif()[_ORIENTATION_TAG]  # or PIL turns the picture as it loads it
    image.load()
    if orientation > 4:
        image = image.copy()  # PIL gives a TIFF the size of the turned image; a copy has the size of its pixels
    pixels, converted = rgb_pixels(image, depth)
    return Decoded(pixels, orientation, converted)


def _decoded_by_pil(path: str, image: Image.Image) -> Decoded:
    depth = depth_of(image)  # loading drops it
    image.load()
    orientation = read_orientation(path, image)
    pixels, converted = rgb_pixels(image, depth)
    return Decoded(pixels, orientation, converted)


def _frame_count(image: Image.Image) -> int:
    """Return the number of frames, as far as it is known; the second picture of a phone's photo is none."""
    if image.format == "MPO":
        return 1
    try:
        return getattr(image, "n_frames", 1)
    except Exception:  # damage of other frames raises many kinds of errors
        return 1


def read_orientation(path: str, image: Image.Image) -> int:
    """Return the orientation in an image's EXIF data, or 1 if it is missing or unknown; warn of damaged data."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception as error:  # damaged EXIF data raises many kinds of errors
        log.warning(f"{path!r} has damaged EXIF data ({reason(error)}): the image is taken as upright")
        return 1
    return orientation if orientation in range(1, 9) else 1
