"""What an image is: files, missing images and all others; and the formats of pictures and videos that can be read."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import FilePath, ImageError, Kind, Reading, checked, reason

if TYPE_CHECKING:
    from .reader import Decoded, ImageRecord

MakeRoom = Callable[[int, int], None]
"""Function that takes width and height before pixels are decoded; it may wait, or raise ``ImageError``."""
MISSING = "missing"  # the stamp of a file that does not exist


@functools.cache  # an import statement takes longer
def _reader() -> ModuleType:
    from . import reader  # imported here, so that a command's help does not wait for torch

    return reader


class Image:
    """Base of all images: a subclass has a ``name`` and :meth:`read`, or overrides another step of reading."""

    name: str
    kept: Mapping[str, Any] = {}

    def stamp(self) -> str | None:
        """Return a text that changes when the content changes; None if there is no such text.

        Ask for it before reading, so that a change in between causes a new reading next time.
        """
        return None

    def read(self) -> bytes:
        """Return all bytes of an image file. Raises ``ImageError``."""
        raise NotImplementedError

    def decoded(self, make_room: MakeRoom) -> Decoded:
        """Return pixels as in the file."""
        return _reader().decode(self.name, self.read(), make_room)

    def load(self, reading: Reading) -> ImageRecord:
        """Return the image, read with these options. Raises ``ImageError``."""
        return _reader().load(self, reading)


@dataclass(frozen=True)
class File(Image):
    name: str

    def stamp(self) -> str | None:
        try:
            status = os.stat(self.name)
        except FileNotFoundError:
            return MISSING
        except (OSError, ValueError):
            return None
        return f"{status.st_size} {status.st_mtime_ns}"

    def read(self) -> bytes:
        path = self.name
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a pipe would block
                raise ImageError("is a folder, a pipe or a device, not an image file", Kind.NOT_A_FILE, path)
            with open(path, "rb") as file:
                return file.read()
        except ImageError:
            raise
        except FileNotFoundError as error:
            raise ImageError("does not exist", Kind.MISSING, path) from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise ImageError(f"cannot be opened: {reason(error)}", Kind.UNREADABLE, path) from error


@dataclass(eq=False)
class BytesImage(Image):
    """An image file in memory, which can be read once.

    Attributes:
        shard_stamp: The stamp that its shard had when the shard's turn came.
    """

    name: str
    data: bytes
    kept: Mapping[str, Any] = field(default_factory=dict)
    shard_stamp: str | None = None

    def stamp(self) -> str | None:
        return self.shard_stamp

    def read(self) -> bytes:
        data, self.data = self.data, b""
        return data


@dataclass
class NoImage(Image):
    """A missing or unreadable image.

    Attributes:
        reason: The problem, to follow the name in a sentence.
    """

    name: str
    reason: str
    kind: Kind = Kind.MISSING
    kept: Mapping[str, Any] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        return f"{self.name!r} {self.reason}"

    def read(self) -> bytes:
        raise ImageError(self.reason, self.kind, self.name)


_reading = checked(Reading)


@checked
def read_image(image: FilePath | Image, **options: Any) -> ImageRecord:
    """Return an image as 8-bit RGB; an image of floats in memory stays one of floats.

    Grey becomes three equal channels; transparent images are laid over white; PIL converts CMYK; of 16-bit samples, the
    high byte is kept. Only the first frame is read. Colour profiles are not applied.

    Args:
        image: Path, or an image.

    Returns:
        The pixels, and how the image was read.

    Raises:
        ImageError: The file is missing, damaged, not an image or too small, has float or 32-bit samples, or has more
            pixels than twice ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    return (image if isinstance(image, Image) else File(os.fspath(image))).load(_reading(**options))


# PIL reads further formats, which run other programs (EPS) or hold no photos. HEIF needs pillow-heif.
_FORMATS = "JPEG MPO PNG WEBP AVIF HEIF TIFF JPEG2000 BMP GIF PPM"
_HEIF = (".heic", ".heif", ".hif", ".heics", ".avif")
_RAW = (
    ".cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .dng .raf .orf .rw2 .pef .srw .x3f .3fr .fff .iiq .kdc .dcr .erf .mef "
    ".mos .rwl .gpr"
)
_VIDEOS = ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .wmv .flv .mts .m2ts .3gp .ogv"
RAW, VIDEOS = tuple(_RAW.split()), tuple(_VIDEOS.split())
_OTHERS = (".psd", ".exr", ".jxl")
_EXTRAS = {"heif": _HEIF, "raw": RAW, "video": VIDEOS}
"""Extra of this package -> suffixes that it makes readable."""


def readable_formats() -> list[str]:
    from PIL import Image as library  # imported here, so that a command's help does not wait for PIL

    _register_heif()
    library.init()
    return [name for name in _FORMATS.split() if name in library.OPEN]


def image_suffixes() -> frozenset[str]:
    from PIL.Image import registered_extensions

    formats, raw = readable_formats(), RAW if find_spec("rawpy") else ()
    found = (suffix for suffix, name in registered_extensions().items() if name in formats)
    return frozenset((*found, ".mpo", *raw))


def without_twins(files: Iterable[str]) -> list[str]:
    """Return images without the RAW files that lie beside another image of their name."""
    parts = {file: os.path.splitext(file) for file in files}
    stems = {stem for stem, suffix in parts.values() if suffix.lower() not in RAW}
    return [file for file, (stem, suffix) in parts.items() if suffix.lower() not in RAW or stem not in stems]


def unreadable_suffixes() -> frozenset[str]:
    """Return suffixes of pictures and videos that cannot be read, such as TGA, and RAW without rawpy."""
    from PIL.Image import OPEN, registered_extensions

    pictures = [suffix for suffix, name in registered_extensions().items() if name in OPEN]
    readable = image_suffixes().union(VIDEOS if find_spec("av") else ())
    return frozenset((*_HEIF, *RAW, *_OTHERS, *VIDEOS, *pictures)) - readable


def skipped_note(skipped: Mapping[str, int]) -> str:
    if not skipped:
        return ""
    lacking = skipped.keys() & unreadable_suffixes()
    extras = [f"clipiqa-pyiqa[{name}]" for name, suffixes in _EXTRAS.items() if not lacking.isdisjoint(suffixes)]
    install = f"install {' and '.join(extras)}, or " if extras else ""
    counts = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(skipped.items()))
    return f"{sum(skipped.values()):,} skipped: {counts}; {install}convert them to PNG or TIFF"


@functools.cache
def _register_heif() -> None:
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()
