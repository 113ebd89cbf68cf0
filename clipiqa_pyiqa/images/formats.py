"""Which kinds of image files are read, and the suffixes by which a folder's images are found."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from PIL import Image

# PIL knows more, but some of it runs other programs (EPS) or holds no photos. HEIF: where pillow-heif is installed.
_FORMATS = (
    *("JPEG", "MPO", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "JPEG2000", "BMP", "DIB", "GIF", "PPM", "TGA"),
    *("QOI", "ICO", "PCX", "SGI"),
)
_HEIF = (".heic", ".heif", ".hif", ".heics", ".avif")
_RAW = (
    *(".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    *(".x3f", ".3fr", ".fff", ".iiq", ".kdc", ".dcr", ".erf", ".mef", ".mos", ".rwl", ".gpr"),
)
_OTHERS = (".psd", ".exr", ".hdr", ".jxl", ".jxr", ".wdp", ".svg", ".xcf", ".eps")


def readable_formats() -> list[str]:
    """PIL's names of the file formats that ``read_image`` takes and this PIL can decode."""
    _register_heif()
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def image_suffixes() -> frozenset[str]:
    """Suffixes, lower case with the dot, of the files in a folder that count as images."""
    formats = readable_formats()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


def unreadable_suffixes() -> frozenset[str]:
    """Suffixes of photos that are not read: RAW files and the like, and HEIC where pillow-heif is missing."""
    return frozenset((*_HEIF, *_RAW, *_OTHERS)) - image_suffixes()


def skipped_note(skipped: Mapping[str, int]) -> str:
    """How many photos were passed over and what to do about them, as a clause; empty if there are none."""
    if not skipped:
        return ""
    advice = []
    if any(suffix in _HEIF for suffix in skipped):
        advice.append("install pillow-heif for HEIC, HEIF and AVIF")
    if any(suffix not in _HEIF for suffix in skipped):
        advice.append("convert the others to PNG or TIFF first" if advice else "convert them to PNG or TIFF first")
    return f"{sum(skipped.values())} skipped: {', '.join(sorted(skipped))}; {', '.join(advice)}"


@functools.cache
def _register_heif() -> None:
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()
