"""What an image is: a file, bytes of a shard, or the place of a missing one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ...checks import FilePath
from ...errors import ImageError, Kind
from ...files import read_bytes
from ...text import shown
from ..options import Reading
from .stamp import MISSING, UNKNOWN, Stamp

if TYPE_CHECKING:
    from .reading_memory import MakeRoom
    from .record import Decoded, ImageRecord


class Image:
    """Base of all images: a subclass has a ``name`` and :meth:`read`, or overrides another step of reading."""

    name: str
    carried: Mapping[str, Any] = {}
    """Values of a shard for the image's row, such as its caption."""

    def stamp(self) -> Stamp:
        """Return the stamp of the content. Take it before reading, so that a change in between is noticed next time."""
        return UNKNOWN

    def read(self) -> bytes:
        """Return all bytes of an image file. Raises ``ImageError`` or ``OSError``."""
        raise NotImplementedError

    def release(self) -> None:
        """Free the memory of bytes that the image holds; it cannot be read any more."""

    def decoded(self, make_room: MakeRoom) -> Decoded:
        """Return pixels as in the file."""
        from .reader import decode  # imported here, so that a command's help does not wait for torch

        return decode(self.name, self.read(), make_room)

    def load(self, reading: Reading) -> ImageRecord:
        """Return the image, read with these options. Raises ``ImageError``."""
        from .reader import load

        return load(self, reading)


@dataclass(frozen=True)
class File(Image):
    name: str

    def stamp(self) -> Stamp:
        try:
            status = os.stat(self.name)
        except FileNotFoundError:
            return MISSING
        except (OSError, ValueError):
            return UNKNOWN
        return Stamp(f"{status.st_size} {status.st_mtime_ns}")

    def read(self) -> bytes:
        return read_bytes(self.name)


class MemberImage(Image):
    """An image that a shard yields.

    Attributes:
        shard_stamp: The stamp that the shard had before it was read.
    """

    shard_stamp = UNKNOWN

    def stamp(self) -> Stamp:
        return self.shard_stamp


@dataclass(eq=False)
class BytesImage(MemberImage):
    """An image file in memory."""

    name: str
    data: bytes

    def read(self) -> bytes:
        return self.data

    def release(self) -> None:
        self.data = b""


@dataclass
class NoImage(MemberImage):
    """An image that is missing or cannot be read, in a shard or elsewhere.

    Attributes:
        reason: The problem, to follow the name in a sentence.
    """

    name: str
    reason: str
    kind: Kind = Kind.MISSING

    @property
    def problem(self) -> str:
        return f"{self.name!r} {self.reason}"

    def read(self) -> bytes:
        raise ImageError(self.reason, self.kind, self.name)


def read_image(
    image: FilePath | Image,
    *,
    max_side: int | None = None,
    max_pixels: int | None = None,
    apply_exif: bool = True,
    damaged: Literal["refuse", "keep"] = "refuse",
) -> ImageRecord:
    """Return an image as 8-bit RGB; floats in memory stay floats.

    Grey becomes three equal channels; transparent images are laid over white; PIL converts CMYK; of 16-bit samples, the
    high byte counts. Only the first frame is read. Colour profiles are not applied.

    Args:
        image: Path, or an image.
        max_side: Longest side in pixels; larger images are shrunk.
        max_pixels: Most pixels; larger images are shrunk.
        apply_exif: Turn images upright as their EXIF orientation says.
        damaged: ``'refuse'`` raises for JPEGs with lost or overwritten bytes, ``'keep'`` reads what is left.

    Returns:
        The pixels, and how the image was read.

    Raises:
        ImageError: The file is missing, damaged, not an image or too small, has float or 32-bit samples, or has more
            pixels than twice ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    if not isinstance(image, Image):
        if not isinstance(image, str | os.PathLike):
            raise ImageError(f"read_image takes the path of a file; got {shown(image)}.")
        image = File(os.fspath(image))
    return image.load(Reading(max_side, max_pixels, apply_exif, damaged))
