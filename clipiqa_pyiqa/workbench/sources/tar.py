"""Tar shards in the WebDataset format: members with the same name before the first dot are one sample."""

import itertools
import json
import lzma
import posixpath
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from ...errors import Kind
from ...text import counted, reason_of
from ..images.formats import image_suffixes
from ..images.image import BytesImage, Image, NoImage
from .addresses import suffix_of
from .shard_error import ShardError
from .shards import LARGEST_IMAGE, ShardFile
from .stores import opened

# tarfile raises a TypeError for an incomplete gzip header.
_DAMAGE = (tarfile.ReadError, EOFError, zlib.error, lzma.LZMAError, TypeError)


class TarShard(ShardFile):
    """A tar archive; ``keep``: keys of ``.json`` sidecars, suffixes of others, or ``key``."""

    def entries(self) -> Iterator[Image]:
        readable = image_suffixes()
        beside = ("json", *self.keep) if self.keep else ()
        all_members = members(self.name, lambda member: suffix_of(member.name) in readable or member.suffix in beside)
        for key, sample in itertools.groupby(all_members, lambda member: getattr(member, "key", None)):
            images = list[BytesImage | NoImage]()
            sidecars = dict[str, bytes]()
            for member in sample:
                if isinstance(member, NoImage):
                    yield member
                elif posixpath.basename(member.name).startswith("."):
                    continue
                elif suffix_of(member.name) in readable:
                    images.append(member.image(f"{self.name}::{member.shown}"))
                elif member.suffix in beside:
                    sidecars[member.suffix] = member.data
            values: dict[str, Any] = {"key": key, "__key__": key}
            values |= {name: data.decode("utf-8", "backslashreplace") for name, data in sidecars.items()}
            try:
                values |= json.loads(sidecars.get("json", b"{}"))
            except (ValueError, TypeError):
                if images and {*self.keep} - values.keys():
                    yield NoImage(f"{self.name}::{key}.json", "holds no JSON object", Kind.DAMAGED)
            for image in images:
                image.carried = {name: values.get(name) for name in self.keep}
                yield image


class TarMember(tarfile.TarInfo):
    """A member of an archive.

    Attributes:
        key, suffix: The sample, and what follows the first dot.
        shown: The name, numbered if a wanted member is not the first of this name.
        data: The content of a wanted member.
    """

    key: str
    suffix: str
    shown: str
    data = b""

    @classmethod
    def fromtarfile(cls, archive: Any) -> Any:
        """Note the end marker; raise for broken headers, which tarfile skips."""
        try:
            member = super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            archive.is_at_end = True
            raise
        except tarfile.InvalidHeaderError as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"a wrong header at byte {archive.offset}") from error
        archive.is_at_end = False
        return member

    @property
    def is_outside(self) -> bool:
        return self.name.startswith("/") or ".." in self.name.split("/")

    def image(self, name: str) -> BytesImage | NoImage:
        if self.is_outside:
            return NoImage(name, "is not scored: its name points outside of its archive", Kind.OUTSIDE)
        if not self.isreg():
            return NoImage(name, "is a link or a device, but an image file was expected", Kind.NOT_A_FILE)
        if self.size > LARGEST_IMAGE:
            why = f"claims {self.size:,} bytes, more than the {LARGEST_IMAGE:,} that an image may have"
            return NoImage(name, why, Kind.TOO_LARGE)
        return BytesImage(name, self.data)


def split_key(member: str) -> tuple[str, str]:
    """Return the key of a member's sample, and the suffix after the first dot."""
    folder, base = posixpath.split(member)
    stem, _, suffix = base.partition(".")
    return posixpath.join(folder, stem), suffix


def members(name: str, is_wanted: Callable[[TarMember], bool]) -> Iterator[TarMember | NoImage]:
    """Yield members (wanted ones with data), and a ``NoImage`` for a damaged part. Raises ``ShardError``."""
    count = 0  # of members that were read whole
    is_archive = False
    is_at_end = False
    why = "its end is missing"
    members_of_name = Counter[str]()  # wanted ones so far
    with opened(name) as file:
        try:
            with tarfile.open(
                fileobj=file, mode="r|*", tarinfo=TarMember, ignore_zeros=True, bufsize=1 << 20
            ) as archive:
                while member := archive.next():
                    assert isinstance(member, TarMember)
                    archive.members.clear()  # type: ignore[attr-defined]  # the list would grow with the archive
                    is_archive = True
                    member.key, member.suffix = split_key(member.name)
                    member.shown = member.name
                    if member.isreg() and member.size <= LARGEST_IMAGE and is_wanted(member):
                        members_of_name[member.name] += 1
                        if members_of_name[member.name] > 1:
                            member.shown += f"::{members_of_name[member.name]}"
                        member.data = archive.extractfile(member).read()  # type: ignore[union-attr]
                    count += 1
                    if not member.isdir():
                        yield member
                is_at_end = getattr(archive, "is_at_end", False)  # not of an empty file
        except _DAMAGE as error:
            why = reason_of(error)
    if not is_at_end and not is_archive:
        raise ShardError(f"is not a tar archive, or its beginning is damaged: {why}", Kind.DAMAGED_ARCHIVE, name)
    if not is_at_end:
        why = f"is truncated or damaged ({why}); the part before ({counted(count, 'member')}) was read"
        yield NoImage(name, why, Kind.DAMAGED_ARCHIVE)
