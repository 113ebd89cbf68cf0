"""The formats of pictures and videos that can be read."""

import contextlib
import functools
from collections.abc import Mapping, Set
from importlib.util import find_spec

from ...text import pip_install

# PIL reads further formats, which run other programs (EPS) or hold no photos. HEIF needs pillow-heif.
_FORMATS = "JPEG MPO PNG WEBP AVIF HEIF TIFF JPEG2000 BMP GIF PPM"
_HEIF = (".heic", ".heif", ".hif", ".heics", ".avif")
_RAW = (
    ".cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .dng .raf .orf .rw2 .pef .srw .x3f .3fr .fff .iiq .kdc .dcr .erf .mef "
    ".mos .rwl .gpr"
)
_VIDEOS = ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .wmv .flv .mts .m2ts .3gp .ogv"
RAW = tuple(_RAW.split())  # not read: PIL takes many of them for TIFF files, and reads a thumbnail
VIDEOS = tuple(_VIDEOS.split())
_OTHERS = (".psd", ".exr", ".jxl")
_EXTRAS = {"heif": _HEIF, "video": VIDEOS}
"""Extra of this package -> suffixes that it makes readable."""


@functools.cache
def readable_formats() -> list[str]:
    from PIL import Image as library  # imported here, so that a command's help does not wait for PIL

    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    library.init()
    return [name for name in _FORMATS.split() if name in library.OPEN]


def image_suffixes() -> frozenset[str]:
    from PIL.Image import registered_extensions

    formats = readable_formats()
    suffixes = (suffix for suffix, name in registered_extensions().items() if name in formats)
    return frozenset((*suffixes, ".mpo"))


def unreadable_suffixes() -> frozenset[str]:
    """Return suffixes of pictures and videos that cannot be read, such as TGA and RAW."""
    from PIL.Image import OPEN, registered_extensions

    pictures = [suffix for suffix, name in registered_extensions().items() if name in OPEN]
    readable = image_suffixes().union(VIDEOS if find_spec("av") else ())
    return frozenset((*_HEIF, *RAW, *_OTHERS, *VIDEOS, *pictures)) - readable


def skipped_note(skipped: Mapping[str, int]) -> str:
    """Return what to do about skipped files, whose numbers are given by suffix; ``''`` if there are none."""
    if not skipped:
        return ""
    counts = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(skipped.items()))
    return "; ".join([f"{sum(skipped.values()):,} skipped: {counts}", *_remedies(skipped.keys())])


def _remedies(suffixes: Set[str]) -> list[str]:
    """Return what to do about skipped files with these suffixes."""
    videos = suffixes & set(VIDEOS)
    unreadable = suffixes & unreadable_suffixes()
    extras = [name for name, of_extra in _EXTRAS.items() if unreadable & set(of_extra)]
    ways = [f"run {pip_install(extras)}"] if extras else []
    if suffixes - videos:
        ways.append(f"convert {'the pictures' if videos else 'them'} to PNG or TIFF")
    remedies = [", or ".join(ways)] if ways else []
    if videos - unreadable:  # beside pictures, where a command takes pictures only
        remedies.append("score the videos by themselves, with `clipiqa score`")
    return remedies
