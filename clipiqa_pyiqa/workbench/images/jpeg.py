"""Decoding of JPEGs by simplejpeg, which reports damage inside a picture."""

import functools
import io
import re

import numpy as np
from PIL import Image

from .record import Pixels

try:
    import simplejpeg
except ImportError:  # no wheel for this machine
    simplejpeg = None

_DAMAGE = re.compile(r"Corrupt JPEG data: ((?:(\d+) extraneous bytes before marker 0x(..))?.*)")
_END = b"\xff\xd9"
_IN_PICTURE = {0xC4, 0xDA, *range(0xD0, 0xD8), _END[1]}  # markers that follow a part of the picture


def decode_jpeg(data: bytes, mode: str) -> tuple[Pixels | None, str]:
    """Return pixels ``(H, W, 3)`` and ``''``; or None, if PIL must decode, and the damage as part of a sentence.

    The damage is ``''``, too, if simplejpeg cannot decode such a file, or warns of what is no damage of the picture.
    """
    if not simplejpeg or mode not in ("L", "RGB"):
        return None, ""
    try:
        pixels = simplejpeg.decode_jpeg(data, strict=True)
    except (ValueError, MemoryError) as error:
        return None, _damage(data, str(error))
    if not is_equal_to_pil():
        return None, ""
    return pixels, ""


@functools.cache
def is_equal_to_pil() -> bool:
    """Return whether simplejpeg's pixels are PIL's, which depends on the decoders that both were built with."""
    noise = [Image.effect_noise((83, 45), 90) for _ in "RGB"]
    file = io.BytesIO()
    Image.merge("RGB", noise).save(file, "JPEG")
    pixels = simplejpeg.decode_jpeg(file.getvalue())
    return np.array_equal(pixels, np.asarray(Image.open(file)))


def _damage(data: bytes, warning: str) -> str:
    match = _DAMAGE.search(warning)
    if not match:
        return ""  # other warnings of libjpeg are not about the picture
    damage, byte_count, marker = match.groups()
    if marker and int(marker, 16) not in _IN_PICTURE:
        return ""  # between two headers
    if marker == "d9" and bytes(int(byte_count)) + _END in data:
        return ""  # zeros before the end marker
    return damage
