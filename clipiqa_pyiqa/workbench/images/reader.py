"""Reading of image files as 8-bit RGB; pixels of plain files are equal to pyiqa's."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps

from ...errors import ImageError, Kind
from ...text import log, reason_of
from ..options import Reading
from .formats import RAW, readable_formats
from .jpeg import decode_jpeg
from .reading_errors import named_errors
from .reading_memory import MakeRoom, set_aside
from .record import UPRIGHT, Decoded, ImageRecord, Orientation, Pixels
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
        decoded = image.decoded(make_room)
        if decoded.orientation.problem:
            _warn_of_exif_data(image.name, decoded.orientation.problem)
        _check_damage(decoded.damage, reading)
        rgb = decoded.pixels
        orientation = decoded.orientation.number
        if reading.apply_exif and orientation != 1:
            rgb = _upright(rgb, orientation)
        height, width = rgb.shape[:2]
        scored_size = limited(width, height, reading)
        if scored_size != (width, height):
            check_size(*scored_size, reading, f"the image, shrunk from {width}×{height},")
            rgb = resized(rgb, scored_size)
    pixels = torch.from_numpy(rgb).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    return ImageRecord(pixels, width, height, orientation, decoded.converted)


def _check_damage(damage: str, reading: Reading) -> None:
    """Raise ``ImageError`` for the damage of a JPEG, unless such images are kept."""
    if damage and reading.damaged != "keep":
        raise ImageError(
            f"is a damaged JPEG with {damage}; to score it as it is, have damaged images kept", Kind.DAMAGED
        )


def _warn_of_exif_data(path: str, problem: str) -> None:
    log.warning(f"{path!r} has damaged EXIF data ({problem}): the image is taken as upright")


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
            decoded = _decoded_jpeg(data, image)
        elif image.format == "TIFF":
            decoded = _decoded_tiff(image)
        else:
            decoded = _decoded_by_pil(image)
        frames = _frame_count(image)
    if frames > 1:
        converted = f"{decoded.converted}, frame 1 of {frames}".removeprefix(", ")
        return decoded._replace(converted=converted)
    return decoded


def _decoded_jpeg(data: bytes, image: Image.Image) -> Decoded:
    pixels, damage = decode_jpeg(data, image.mode)
    if pixels is None:
        return _decoded_by_pil(image)._replace(damage=damage)
    orientation = orientation_of(image)
    converted = "" if image.mode == "RGB" else "grey->rgb"
    return Decoded(pixels, orientation, converted)


def _decoded_tiff(image: Image.Image) -> Decoded:
    depth = depth_of(image)
    orientation = orientation_of(image)
    if orientation.number > 1:
        del image.getexif()[_ORIENTATION_TAG]  # or PIL turns the picture as it loads it
    image.load()
    if orientation.number > 4:
        image = image.copy()  # PIL gives a TIFF the size of the turned image; a copy has the size of its pixels
    pixels, converted = rgb_pixels(image, depth)
    return Decoded(pixels, orientation, converted)


def _decoded_by_pil(image: Image.Image) -> Decoded:
    depth = depth_of(image)  # loading drops it
    image.load()
    orientation = orientation_of(image)
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


def orientation_of(image: Image.Image) -> Orientation:
    """Return the orientation in an image's EXIF data; upright if it is missing or unknown."""
    try:
        number = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception as error:  # damaged EXIF data raises many kinds of errors
        return Orientation(problem=reason_of(error))
    return Orientation(number) if number in range(1, 9) else UPRIGHT
