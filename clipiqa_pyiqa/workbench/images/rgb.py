"""Conversion of PIL's images to 8-bit RGB."""

import numpy as np
from PIL import Image

from ...errors import ImageError, Kind
from .record import Pixels

STRIP = 4 * 1024 * 1024  # pixels that are converted at once
_KINDS = {"1": "bilevel", "L": "grey", "P": "palette", "RGBX": "rgb"}  # of other modes, the name in lower case


def depth_of(image: Image.Image) -> int:
    """Return the bits per sample, from PIL's name of the raw layout, such as 'RGB;16B'.

    PIL's mode 'I' has 32 bits, but is also the mode of 16-bit PGM. Loading an image drops its layout.
    """
    layouts = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    if ";32" in layouts or (image.mode == "I" and not layouts):
        return 32
    if ";16" in layouts:
        return 16
    if ";12" in layouts:
        return 12
    return 8


def rgb_pixels(image: Image.Image, depth: int) -> tuple[Pixels, str]:
    """Return pixels ``(H, W, 3)``, uint8, and the conversion, such as ``'grey->rgb'``, or ``''``.

    A large image is converted in strips, as the conversion takes several times the memory of the pixels.
    """
    width, height = image.size
    rows = max(1, STRIP // width)
    pixels = np.empty((height, width, 3), np.uint8)
    converted = ""
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        is_whole = rows >= height
        part = image if is_whole else image.crop((0, top, width, bottom))
        strip, converted = _to_rgb(part, depth)
        pixels[top:bottom] = np.asarray(strip)
    return pixels, converted


def _to_rgb(image: Image.Image, depth: int) -> tuple[Image.Image, str]:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_grey_to_rgb(image, depth)
    mode = image.mode.removesuffix("A")
    kind = _KINDS.get(mode, mode.lower())
    if depth > 8:
        kind = f"{depth}-bit {kind}"
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB"), f"{kind}+alpha->rgb on white"
    if image.mode != "RGB":
        return image.convert("RGB"), f"{kind}->rgb"
    if depth > 8:  # PIL has already taken the high byte
        return image, f"{kind}->rgb"
    return image, ""


def _deep_grey_to_rgb(image: Image.Image, depth: int) -> tuple[Image.Image, str]:
    samples = np.asarray(image)
    if image.mode == "F" or depth == 32 or samples.min() < 0:
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise ImageError(
            f"has {kind} samples, whose value of white is unknown; save the image with 8 or 16 bits",
            Kind.UNCLEAR_SCALE,
        )
    bits = 12 if depth == 12 else 16
    high_bytes = (samples >> (bits - 8)).astype(np.uint8)
    return Image.fromarray(high_bytes).convert("RGB"), f"{bits}-bit grey->rgb"
