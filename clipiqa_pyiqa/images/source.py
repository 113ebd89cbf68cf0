"""Images before they are read: files, missing images, and the formats of files that can be read."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ..errors import ImageError, Kind


@runtime_checkable
class ImageSource(Protocol):
    @property
    def name(self) -> str:
        """Name in rows and messages."""

    def read(self) -> bytes:
        """Return all bytes, or raise ``ImageError``; not called if ``decoded()`` returns the pixels."""


MISSING = "missing"  # the stamp of a file that does not exist


def stamp_of(source: Any) -> str | None:
    """Return a text that changes when a source's content changes; None if there is no such text.

    Ask for it before reading, so that a change in between causes a new reading next time.
    """
    return source.stamp() if hasattr(source, "stamp") else None


@dataclass(frozen=True)
class FileSource:
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


@dataclass
class NoImage:
    """A missing or unreadable image.

    Attributes:
        name: Name of the source.
        reason: The problem, to follow the name in a sentence.
        kind: Kind of the problem, for code.
        kept: Metadata in a shard (archive).
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


def reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


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
