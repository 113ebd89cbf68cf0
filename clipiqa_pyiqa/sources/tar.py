"""Tar shards, as WebDataset lays them out: members that share a name up to its first dot are one sample.

An archive is read once, from its beginning to its end, also from a store and also when compressed; nothing is unpacked
onto the disk. A broken header costs its member: reading goes on at the next header that is whole.
"""

from __future__ import annotations

import json
import lzma
import posixpath
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import IO, Any, ClassVar

from ..errors import Kind, counted
from ..images.formats import image_suffixes, unreadable_suffixes
from ..images.source import ImageSource, NoImage, reason
from .members import MOST_BYTES, Entry, ShardError
from .stores import opened

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# TypeError is what tarfile makes of half a gzip header.
DAMAGE = (tarfile.ReadError, EOFError, zlib.error, lzma.LZMAError, TypeError)
_BLOCK = 1 << 20
_SIDECARS = 64  # members of a sample that are looked at


@dataclass
class TarShard:
    """A tar archive of images with sidecars.

    Attributes:
        name: Its path or address.
        keep: What to keep of each sample: keys of its ``.json``, suffixes of other sidecars (``txt``), or ``key``.
        skipped: Suffix -> members that hold photos in formats which are not read, after :meth:`entries`.
    """

    name: str
    keep: Sequence[str] = ()
    skipped: Counter[str] = field(default_factory=Counter)
    kind: ClassVar[str] = "tar"

    def entries(self) -> Iterator[ImageSource]:
        key: str | None = None
        images: list[tuple[str, bytes | NoImage]] = []
        sidecars: dict[str, bytes] = {}
        readable, unreadable = image_suffixes(), unreadable_suffixes()
        self.skipped.clear()
        try:
            for member in members(self.name):
                if isinstance(member, NoImage):
                    yield from self._sample(key, images, sidecars)
                    key, images, sidecars = None, [], {}
                    yield member
                    continue
                if member.key != key:
                    yield from self._sample(key, images, sidecars)
                    key, images, sidecars = member.key, [], {}
                stem, suffix = posixpath.splitext(posixpath.basename(member.name))
                if stem.startswith("."):
                    continue
                if suffix.lower() in readable:
                    name = f"{self.name}::{member.name}"
                    images.append((name, member.image(name)))
                elif suffix.lower() in unreadable:
                    self.skipped[suffix.lower()] += 1
                elif self.keep and member.info.isreg() and len(sidecars) < _SIDECARS:
                    sidecars[member.suffix] = member.read()
        except DAMAGE as error:
            yield from self._sample(key, images, sidecars)
            why = f"is truncated or damaged within {member.name!r} ({reason(error)}); what came before was read"
            yield NoImage(self.name, why, Kind.DAMAGED_ARCHIVE)
            return
        yield from self._sample(key, images, sidecars)

    def _sample(
        self, key: str | None, images: list[tuple[str, bytes | NoImage]], sidecars: dict[str, bytes]
    ) -> Iterator[ImageSource]:
        if not images:
            return
        kept = _kept(self.keep, str(key), sidecars)
        for name, found in images:
            yield replace(found, kept=kept) if isinstance(found, NoImage) else Entry(name, found, kept)


class Member:
    """A member of an archive while the archive is at it."""

    def __init__(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        self._archive, self.info, self.name = archive, info, info.name
        folder, base = posixpath.split(self.name)
        stem, _, self.suffix = base.partition(".")
        self.key = posixpath.join(folder, stem)

    def read(self) -> bytes:
        """Its content. Raises ``tarfile.ReadError`` where the archive ends before."""
        file = self._archive.extractfile(self.info)
        data = b"" if file is None else file.read()
        if len(data) != self.info.size:
            raise tarfile.ReadError("unexpected end of data")
        return data

    def stream(self) -> IO[bytes]:
        """Its content, to be read before the next member is asked for."""
        file = self._archive.extractfile(self.info)
        assert file is not None
        return file

    def image(self, name: str) -> bytes | NoImage:
        """Return its bytes, or why it is not read; ``name`` is what its row is called."""
        if is_outside(self.name):
            return NoImage(name, "is not scored: its name points outside of its archive", Kind.OUTSIDE)
        if not self.info.isreg():
            return NoImage(name, "is a link or a device, but an image file was expected", Kind.NOT_A_FILE)
        if self.info.size > MOST_BYTES:
            why = f"claims {self.info.size:,} bytes, more than the {MOST_BYTES:,} that an image may have"
            return NoImage(name, why, Kind.TOO_LARGE)
        return self.read()


def is_outside(name: str) -> bool:
    """Whether a member's name leads out of the folder that an archive would be unpacked into."""
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or name[1:3] == ":\\"


def members(name: str) -> Iterator[Member | NoImage]:
    """Yield the members of an archive in their order, without folders; a ``NoImage`` stands for a damaged part.

    Raises:
        ShardError: It cannot be opened, or is no tar archive.
    """
    with opened(name) as file:
        notes = _Notes(name)
        try:
            with closing(_open(file, notes)) as archive:
                while (info := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # which otherwise grow with the archive
                    yield from notes.broken(info.offset)
                    if info.isdir():
                        continue
                    yield Member(archive, info)
                yield from notes.broken(archive.offset)
        except DAMAGE as error:
            yield notes.lost(f"is truncated or damaged ({reason(error)})")
            return
        if not notes.at_end:
            yield notes.lost("is truncated: the mark of its end is missing")


def _open(file: Any, notes: _Notes) -> tarfile.TarFile:
    class Header(tarfile.TarInfo):
        """tarfile passes over broken headers in silence; this tells of them."""

        @classmethod
        def fromtarfile(cls, archive: tarfile.TarFile) -> Header:
            try:
                found = super().fromtarfile(archive)
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
                notes.at_end = True
                raise
            except tarfile.InvalidHeaderError:  # type: ignore[attr-defined]
                notes.invalid(archive.offset)
                raise
            except tarfile.TruncatedHeaderError:  # type: ignore[attr-defined]
                notes.at_end = False
                raise
            notes.count += 1
            notes.at_end = False
            return found

    try:
        return tarfile.open(fileobj=file, mode="r|*", tarinfo=Header, ignore_zeros=True, bufsize=_BLOCK)
    except DAMAGE as error:
        why = f"is no tar archive, or its beginning is damaged ({reason(error)})"
        raise ShardError(why, Kind.DAMAGED_ARCHIVE, notes.name) from error


class _Notes:
    """What is noticed about an archive besides its members."""

    def __init__(self, name: str) -> None:
        self.name, self.count, self.at_end = name, 0, False
        self._first: int | None = None  # broken block

    def invalid(self, offset: int) -> None:
        if not self.count:
            why = "is no tar archive: it does not begin with a tar header"
            raise ShardError(why, Kind.DAMAGED_ARCHIVE, self.name)
        self.at_end = False
        if self._first is None:
            self._first = offset

    def broken(self, until: int) -> Iterator[NoImage]:
        """What was passed over before a header that is whole, if anything was."""
        if self._first is not None:
            first, self._first = self._first, None
            why = f"is a damaged header: what follows it up to byte {until} is lost, the rest was read"
            yield NoImage(f"{self.name}::byte {first}", why, Kind.DAMAGED_ARCHIVE)

    def lost(self, what: str) -> NoImage:
        why = f"{what}; what came before, {counted(self.count, 'member')}, was read"
        return NoImage(self.name, why, Kind.DAMAGED_ARCHIVE)


def _kept(keep: Sequence[str], key: str, sidecars: dict[str, bytes]) -> dict[str, Any]:
    if not keep:
        return {}
    said: Any = {}
    if "json" in sidecars:
        try:
            said = json.loads(sidecars["json"])
        except ValueError:
            said = {}
    values = {}
    for name in keep:
        if isinstance(said, dict) and name in said:
            values[name] = said[name]
        elif name in sidecars:
            values[name] = sidecars[name].decode("utf-8", "backslashreplace")
        else:
            values[name] = key if name in ("key", "__key__") else None
    return values
