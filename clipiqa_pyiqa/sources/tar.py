"""Tar shards, as WebDataset lays them out: members that share a name up to its first dot are one sample.

An archive is read once, from its beginning to its end, also from a store and also when compressed; nothing is unpacked
onto the disk. A broken header costs its member: reading goes on at the next header that is whole.
"""

from __future__ import annotations

import json
import lzma
import os
import posixpath
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, ClassVar

from ..errors import Kind, counted
from ..images.formats import image_suffixes, unreadable_suffixes
from ..images.source import ImageSource, NoImage, reason
from .members import MOST_BYTES, Entry, ShardError
from .stores import local_path, opened

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# TypeError is what tarfile makes of half a gzip header.
DAMAGE = (tarfile.ReadError, EOFError, zlib.error, lzma.LZMAError, TypeError)
_SIDECARS = 64  # members of a sample that are looked at


@dataclass
class TarShard:
    """A tar archive of images with sidecars.

    Attributes:
        name: Its path or address.
        keep: What to keep of each sample: keys of its ``.json``, suffixes of other sidecars (``txt``), or ``key``.
        skipped: Suffix -> members that hold photos in formats which are not read, after :meth:`entries`.
        fraction: How much of it is read, from 0 to 1.
    """

    name: str
    keep: Sequence[str] = ()
    skipped: Counter[str] = field(default_factory=Counter)
    fraction: float = 0.0
    kind: ClassVar[str] = "tar"

    def entries(self) -> Iterator[ImageSource]:
        """The images in their order, each with what is kept of its sample. Raises ``ShardError``."""
        key: str | None = None
        images: list[Entry | NoImage] = []
        sidecars: dict[str, bytes] = {}
        readable, unreadable = image_suffixes(), unreadable_suffixes()
        self.skipped.clear()

        def sample() -> Iterator[ImageSource]:
            kept = _kept(self.keep, str(key), sidecars)
            for image in images:
                image.kept = kept
                yield image

        try:
            for member in members(self.name, self._note):
                member_key = None if isinstance(member, NoImage) else member.key
                if member_key != key:
                    yield from sample()
                    key, images, sidecars = member_key, [], {}
                if isinstance(member, NoImage):
                    yield member
                    continue
                stem, suffix = posixpath.splitext(posixpath.basename(member.name))
                if stem.startswith("."):
                    continue
                if suffix.lower() in readable:
                    images.append(member.image(f"{self.name}::{member.name}"))
                elif suffix.lower() in unreadable:
                    self.skipped[suffix.lower()] += 1
                elif self.keep and member.info.isreg() and len(sidecars) < _SIDECARS:
                    sidecars[member.suffix] = member.read()
        except DAMAGE as error:
            yield from sample()
            why = f"is truncated or damaged within {member.name!r} ({reason(error)}); what came before was read"
            yield NoImage(self.name, why, Kind.DAMAGED_ARCHIVE)
            return
        yield from sample()

    def _note(self, fraction: float) -> None:
        self.fraction = fraction


class Member:
    """A member of an archive, to be read before the next one is asked for."""

    def __init__(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        self._archive, self.info, self.name = archive, info, info.name
        self.key, self.suffix = split_key(self.name)

    def read(self) -> bytes:
        """Return its content. Raises ``tarfile.ReadError`` where the archive ends before."""
        data = self.stream().read()
        if len(data) != self.info.size:
            raise tarfile.ReadError("unexpected end of data")
        return data

    def stream(self) -> IO[bytes]:
        """Return its content as a file."""
        file = self._archive.extractfile(self.info)
        assert file is not None
        return file

    def image(self, name: str) -> Entry | NoImage:
        """Return the image, or why it is not read; ``name`` is what its row is called."""
        if is_outside(self.name):
            return NoImage(name, "is not scored: its name points outside of its archive", Kind.OUTSIDE)
        if not self.info.isreg():
            return NoImage(name, "is a link or a device, but an image file was expected", Kind.NOT_A_FILE)
        if self.info.size > MOST_BYTES:
            why = f"claims {self.info.size:,} bytes, more than the {MOST_BYTES:,} that an image may have"
            return NoImage(name, why, Kind.TOO_LARGE)
        return Entry(name, self.read())


def is_outside(name: str) -> bool:
    """Whether a member's name leads out of the folder that an archive would be unpacked into."""
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or name[1:3] == ":\\"


def split_key(member: str) -> tuple[str, str]:
    """Return the key of a member's sample, and what follows the first dot of its name."""
    folder, base = posixpath.split(member)
    stem, _, suffix = base.partition(".")
    return posixpath.join(folder, stem), suffix


def members(name: str, told: Callable[[float], object] = lambda fraction: None) -> Iterator[Member | NoImage]:
    """Yield the members of an archive in their order, without folders; a ``NoImage`` stands for a damaged part.

    Args:
        name: Path or address of the archive.
        told: Called with how much of it is read, from 0 to 1.

    Raises:
        ShardError: It cannot be opened, or is not a tar archive.
    """
    count, broken, is_at_end = 0, list[int](), False

    class Header(tarfile.TarInfo):
        """Notes broken headers, which tarfile skips in silence."""

        @classmethod
        def fromtarfile(cls, archive: tarfile.TarFile) -> Header:
            nonlocal count, is_at_end
            try:
                found = super().fromtarfile(archive)
            except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]  # the end of the file
                raise
            except tarfile.HeaderError as error:
                is_at_end = isinstance(error, tarfile.EOFHeaderError)  # type: ignore[attr-defined]
                if isinstance(error, tarfile.InvalidHeaderError):  # type: ignore[attr-defined]
                    if not count:
                        raise not_tar("it does not begin with a tar header") from error
                    broken.append(archive.offset)
                raise
            count, is_at_end = count + 1, False
            return found

    def not_tar(why: str) -> ShardError:
        return ShardError(f"is not a tar archive, or its beginning is damaged: {why}", Kind.DAMAGED_ARCHIVE, name)

    def gap(until: int) -> NoImage:
        why = f"is a damaged header: what follows it up to byte {until} is lost, the rest was read"
        lost = NoImage(f"{name}::byte {broken[0]}", why, Kind.DAMAGED_ARCHIVE)
        broken.clear()
        return lost

    why = "is truncated: the mark of its end is missing"
    with opened(name) as file:
        path = local_path(name)
        size = getattr(file, "size", 0) if path is None else os.path.getsize(path)
        try:
            with tarfile.open(fileobj=file, mode="r|*", tarinfo=Header, ignore_zeros=True, bufsize=1 << 20) as archive:
                while (info := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # which otherwise grow with the archive
                    told(file.tell() / size if size else 0.0)
                    if broken:
                        yield gap(info.offset)
                    if not info.isdir():
                        yield Member(archive, info)
                if broken:
                    yield gap(archive.offset)
        except DAMAGE as error:
            if not count:
                raise not_tar(reason(error)) from error
            why, is_at_end = f"is truncated or damaged ({reason(error)})", False
    if not is_at_end:
        yield NoImage(name, f"{why}; what came before, {counted(count, 'member')}, was read", Kind.DAMAGED_ARCHIVE)


def _kept(keep: Sequence[str], key: str, sidecars: dict[str, bytes]) -> dict[str, Any]:
    said: Any = {}
    if keep and "json" in sidecars:
        try:
            said = json.loads(sidecars["json"])
        except ValueError:
            said = {}
    values = {name: key if name in ("key", "__key__") else None for name in keep}
    values |= {name: sidecars[name].decode("utf-8", "backslashreplace") for name in keep if name in sidecars}
    return values | {name: said[name] for name in keep if isinstance(said, dict) and name in said}
