"""Tar shards in the WebDataset format: members with the same name before the first dot are one sample."""

from __future__ import annotations

import itertools
import json
import lzma
import posixpath
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, ClassVar

from ..errors import Kind, counted
from ..images.formats import image_suffixes, unreadable_suffixes
from ..images.source import ImageSource, NoImage, reason
from .members import MOST_BYTES, Entry, ShardError
from .stores import opened

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# tarfile raises a TypeError for an incomplete gzip header.
DAMAGE = (tarfile.ReadError, EOFError, zlib.error, lzma.LZMAError, TypeError)


@dataclass
class TarShard:
    """A tar archive; ``keep`` lists keys of ``.json`` sidecars, suffixes of other sidecars, or ``key``."""

    name: str
    keep: Sequence[str] = ()
    skipped: Counter[str] = field(default_factory=Counter)
    kind: ClassVar[str] = "tar"

    def entries(self) -> Iterator[ImageSource]:
        """Yield the images in order. Raises ``ShardError``."""
        self.skipped.clear()
        readable, unreadable = image_suffixes(), unreadable_suffixes()
        for key, sample in itertools.groupby(members(self.name), lambda member: getattr(member, "key", None)):
            images: list[Entry | NoImage] = []
            sidecars: dict[str, bytes] = {}
            damage = None
            try:
                for member in sample:
                    if isinstance(member, NoImage):
                        yield member
                        continue
                    stem, suffix = posixpath.splitext(posixpath.basename(member.name.lower()))
                    if stem.startswith("."):
                        continue
                    if suffix in readable:
                        images.append(member.image(f"{self.name}::{member.name}"))
                    elif suffix in unreadable:
                        self.skipped[suffix] += 1
                    elif self.keep and member.info.isreg() and member.suffix in ("json", *self.keep):
                        sidecars[member.suffix] = member.read()
            except DAMAGE as error:
                why = f"is truncated or damaged within {member.name!r} ({reason(error)}); the part before was read"
                damage = NoImage(self.name, why, Kind.DAMAGED_ARCHIVE)
            kept = self._kept(str(key), sidecars)
            for image in images:
                image.kept = kept
                yield image
            if damage is not None:
                yield damage
                return

    def _kept(self, key: str, sidecars: dict[str, bytes]) -> dict[str, Any]:
        try:
            record = json.loads(sidecars.get("json", b"{}"))
        except ValueError:
            record = {}
        kept = {name: key if name in ("key", "__key__") else None for name in self.keep}
        kept |= {name: sidecars[name].decode("utf-8", "backslashreplace") for name in self.keep if name in sidecars}
        return kept | {name: record[name] for name in self.keep if isinstance(record, dict) and name in record}


class Member:
    """A member of an archive; read it before asking for the next member."""

    def __init__(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        self._archive, self.info, self.name = archive, info, info.name
        self.key, self.suffix = split_key(self.name)

    @property
    def is_outside(self) -> bool:
        name = self.name.replace("\\", "/")
        return name.startswith("/") or ".." in name.split("/") or name[1:3] == ":/"

    def read(self) -> bytes:
        data = self.stream().read()
        if len(data) != self.info.size:
            raise tarfile.ReadError("unexpected end of data")
        return data

    def stream(self) -> IO[bytes]:
        file = self._archive.extractfile(self.info)
        assert file is not None
        return file

    def image(self, name: str) -> Entry | NoImage:
        if self.is_outside:
            return NoImage(name, "is not scored: its name points outside of its archive", Kind.OUTSIDE)
        if not self.info.isreg():
            return NoImage(name, "is a link or a device, but an image file was expected", Kind.NOT_A_FILE)
        if self.info.size > MOST_BYTES:
            why = f"claims {self.info.size:,} bytes, more than the {MOST_BYTES:,} that an image may have"
            return NoImage(name, why, Kind.TOO_LARGE)
        return Entry(name, self.read())


def split_key(member: str) -> tuple[str, str]:
    """Return the key of a member's sample, and the suffix after the first dot."""
    folder, base = posixpath.split(member)
    stem, _, suffix = base.partition(".")
    return posixpath.join(folder, stem), suffix


def members(name: str) -> Iterator[Member | NoImage]:
    """Yield the members of an archive, and a ``NoImage`` for each damaged part. Raises ``ShardError``."""
    count, broken, is_at_end = 0, list[int](), False

    class Header(tarfile.TarInfo):
        """A header class that records broken headers, which tarfile skips."""

        @classmethod
        def fromtarfile(cls, archive: tarfile.TarFile) -> Header:
            nonlocal count, is_at_end
            try:
                found = super().fromtarfile(archive)
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
                is_at_end = True
                raise
            except tarfile.InvalidHeaderError as error:  # type: ignore[attr-defined]
                if not count:
                    raise not_tar("it does not begin with a tar header") from error
                broken.append(archive.offset)
                raise
            count, is_at_end = count + 1, False
            return found

    def not_tar(why: str) -> ShardError:
        return ShardError(f"is not a tar archive, or its beginning is damaged: {why}", Kind.DAMAGED_ARCHIVE, name)

    def gap(until: int) -> NoImage:
        why = f"is a damaged header: the data up to byte {until} is lost, all other data was read"
        lost = NoImage(f"{name}::byte {broken[0]}", why, Kind.DAMAGED_ARCHIVE)
        broken.clear()
        return lost

    why = "is truncated: its end marker is missing"
    with opened(name) as file:
        try:
            with tarfile.open(fileobj=file, mode="r|*", tarinfo=Header, ignore_zeros=True, bufsize=1 << 20) as archive:
                while (info := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # the list would grow with the archive
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
        yield NoImage(name, f"{why}; the part before ({counted(count, 'member')}) was read", Kind.DAMAGED_ARCHIVE)
