"""Which kinds of image files are read, and the suffixes by which a folder's images are found."""

from __future__ import annotations

from PIL import Image

# PIL knows more, but some of it runs other programs (EPS) or holds no photos. HEIF counts if a plug-in registered it.
_FORMATS = (
    *("JPEG", "MPO", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "JPEG2000", "BMP", "DIB", "GIF", "PPM", "TGA"),
    *("QOI", "ICO", "PCX", "SGI"),
)


def readable_formats() -> list[str]:
    """PIL's names of the file formats that ``read_image`` takes and this PIL can decode."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def image_suffixes() -> frozenset[str]:
    """Suffixes, lower case with the dot, of the files in a folder that count as images."""
    formats = readable_formats()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)
