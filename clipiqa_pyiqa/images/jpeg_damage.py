"""Detection of damage in JPEGs that PIL does not report: lost, zeroed or foreign bytes."""

from __future__ import annotations

import functools
import io
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

try:
    import simplejpeg
except ImportError:  # no wheel for this machine
    simplejpeg = None

_DAMAGE = re.compile(r"Corrupt JPEG data: ((?:(\d+) extraneous bytes before marker 0x(..))?.*)")
_END = b"\xff\xd9"
_IN_PICTURE = {0xC4, 0xDA, *range(0xD0, 0xD8), _END[1]}  # markers that follow a part of the picture


def decode_jpeg(data: bytes, mode: str) -> tuple[NDArray[np.uint8] | None, str]:
    """Return pixels ``(H, W, 3)``, or None if PIL must decode, and the damage as part of a sentence, or ``''``."""
    if simplejpeg is None or mode not in ("L", "RGB"):
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
    is_between_headers = marker is not None and int(marker, 16) not in _IN_PICTURE
    is_padding = marker == "d9" and bytes(int(count)) + _END in data
    return "" if is_between_headers or is_padding else damage
