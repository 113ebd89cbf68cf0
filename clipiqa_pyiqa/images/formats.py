"""The formats of image files that can be read, and their suffixes."""

from __future__ import annotations

import functools
from collections.abc import Mapping

# PIL reads further formats, which run other programs (EPS) or hold no photos. HEIF needs pillow-heif.
_FORMATS = (
    "JPEG",
    "MPO",
    "PNG",
    "WEBP",
    "AVIF",
    "HEIF",
    "TIFF",
    "JPEG2000",
    "BMP",
    "GIF",
    "PPM",
)
_HEIF = (".heic", ".heif", ".hif", ".heics", ".avif")
_RAW = (
    ".cr2",
    ".cr3",
    ".crw",
    ".nef",
    ".nrw",
    ".arw",
    ".srf",
    ".sr2",
    ".dng",
    ".raf",
    ".orf",
    ".rw2",
    ".pef",
    ".srw",
    ".x3f",
    ".3fr",
    ".fff",
    ".iiq",
    ".kdc",
    ".dcr",
    ".erf",
    ".mef",
    ".mos",
    ".rwl",
    ".gpr",
)
_OTHERS = (".psd", ".exr", ".jxl")


def readable_formats() -> list[str]:
    from PIL import Image  # imported here, so that a command's help does not wait for PIL

    _register_heif()
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def image_suffixes() -> frozenset[str]:
    from PIL import Image

    formats = readable_formats()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


def unreadable_suffixes() -> frozenset[str]:
    """Return suffixes of photos that cannot be read: RAW, and HEIC without pillow-heif."""
    return frozenset((*_HEIF, *_RAW, *_OTHERS)) - image_suffixes()


def raw_suffixes() -> frozenset[str]:
    return frozenset(_RAW) - image_suffixes()


def skipped_note(skipped: Mapping[str, int]) -> str:
    if not skipped:
        return ""
    heif = "" if skipped.keys().isdisjoint(_HEIF) else "install pillow-heif for HEIC, or "
    return f"{sum(skipped.values())} skipped: {', '.join(sorted(skipped))}; {heif}convert them to PNG or TIFF"


@functools.cache
def _register_heif() -> None:
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()
