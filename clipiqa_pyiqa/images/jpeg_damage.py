"""Damage inside a JPEG that PIL passes over in silence: lost, zeroed or foreign bytes in the compressed picture.

libjpeg warns of much of it, and PIL throws the warnings away. simplejpeg hands the first one on; where its pixels are
PIL's (tried once per process), they are used, so that nothing is decoded twice.
"""

from __future__ import annotations

import functools
import io
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

try:
    import simplejpeg
except ImportError:  # there is no wheel for this machine: nothing is noticed
    simplejpeg = None

_COLOURS = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # PIL's mode -> simplejpeg's
_DAMAGE = re.compile(r"Corrupt JPEG data: (.*)")  # libjpeg's other warnings are not about the picture
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0x(..)")
_START_OF_SCAN, _END = 0xDA, b"\xff\xd9"
_WITHIN_SCANS = {0xC4, _START_OF_SCAN, *range(0xD0, 0xD8)}  # markers that follow a part of the picture


def decode_jpeg(data: bytes, mode: str) -> tuple[NDArray[np.uint8] | None, str]:
    """Decode a JPEG that PIL has opened, and look for damage.

    Args:
        data: The file.
        mode: The mode of the image that PIL opened, such as 'RGB'.

    Returns:
        The pixels (H, W, C), if libjpeg has no complaint about the file and they are known to be PIL's, else None; and
        what is damaged, as a part of a sentence, or ``''``.
    """
    if simplejpeg is None or mode not in _COLOURS:
        return None, ""
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace=_COLOURS[mode], strict=True)
    except (ValueError, MemoryError) as error:
        return None, _damage(data, str(error))
    return pixels if mode != "CMYK" and same_pixels_as_pil() else None, ""


@functools.cache
def same_pixels_as_pil() -> bool:
    """Whether simplejpeg decodes to the very pixels of this PIL, tried on small pictures of the common kinds.

    Both bring libjpeg-turbo as a rule; a PIL built with another libjpeg differs by a grey level here and there.
    """
    noise = np.random.default_rng(0).integers(0, 256, (45, 83, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((333, 181), Image.Resampling.BICUBIC)
    for mode, subsampling in [("L", 0), ("RGB", 0), ("RGB", 1), ("RGB", 2)]:  # the last three: 4:4:4, 4:2:2, 4:2:0
        for progressive in (False, True):
            file = io.BytesIO()
            image.convert(mode).save(file, "JPEG", quality=85, progressive=progressive, subsampling=subsampling)
            pixels = simplejpeg.decode_jpeg(file.getvalue(), colorspace=_COLOURS[mode])
            if not np.array_equal(pixels.squeeze(), np.asarray(Image.open(file))):
                return False
    return True


def _damage(data: bytes, warning: str) -> str:
    """Tell damage to the picture from oddities around it."""
    found = _DAMAGE.search(warning)
    if not found:
        return ""
    scan, left_over = _start_of_scan(data), _LEFT_OVER.match(found[1])
    if left_over and left_over[2] == "d9":  # zeros before the end marker are padding
        end = data.find(_END, scan)
        return found[1] if data[end - int(left_over[1]) : end].strip(b"\0") else ""
    is_in_scans = not left_over or int(left_over[2], 16) in _WITHIN_SCANS
    return found[1] if is_in_scans else ""


def _start_of_scan(data: bytes) -> int:
    """Return where the compressed picture begins, behind the headers, which may hold a thumbnail with markers."""
    at = 2
    while at < len(data) - 4:
        if data[at] != 0xFF or data[at + 1] == 0xFF:  # bytes between headers
            at += 1
        elif data[at + 1] == _START_OF_SCAN:
            return at
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0
