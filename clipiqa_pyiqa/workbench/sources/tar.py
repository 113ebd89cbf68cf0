"""Tar shards in the WebDataset format: members with the same name before the first dot are one sample."""

import itertools
import json
import lzma
import posixpath
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
            yield from self._with_values(images, key, sidecars)

    def _with_values(
        self, images: Sequence[BytesImage | NoImage], key: str | None, sidecars: Mapping[str, bytes]
    ) -> Iterator[Image]:
        """Yield the images of a sample with its values, after a ``NoImage`` for an unusable sidecar that is needed."""
        values: dict[str, Any] = {"key": key, "__key__": key}
        values |= {suffix: content.decode("utf-8", "backslashreplace") for suffix, content in sidecars.items()}
        try:
            values |= json.loads(sidecars.get("json", b"{}"))
        except (ValueError, TypeError, RecursionError):
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
        """Return the next member of a :class:`_Archive`, and note there whether it ends; raise for a broken header.

        ``tarfile`` alone would skip broken headers.
        """
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


class _Archive(tarfile.TarFile):
    """An archive of ``TarMember``.

    Attributes:
        is_at_end: Whether the header that was read last is an end marker.
    """

    tarinfo = TarMember
    is_at_end = False


def split_key(member: str) -> tuple[str, str]:
    """Return the key of a member's sample, and the suffix after the first dot."""
    folder, base = posixpath.split(member)
    stem, _, suffix = base.partition(".")
    return posixpath.join(folder, stem), suffix


@dataclass
class _Progress:
    """How far an archive was read.

    Attributes:
        count: Number of members that were read whole.
        is_archive: Whether its first header was read.
        is_at_end: Whether its end marker was read.
        problem: Why it ends before that.
    """

    count: int = 0
    is_archive: bool = False
    is_at_end: bool = False
    problem: str = "its end is missing"


def members(name: str, is_wanted: Callable[[TarMember], bool]) -> Iterator[TarMember | NoImage]:
    """Yield members (wanted ones with data), and a ``NoImage`` for a damaged part. Raises ``ShardError``."""
    progress = _Progress()
    with opened(name) as file:
        try:
            with _Archive.open(fileobj=file, mode="r|*", ignore_zeros=True, bufsize=1 << 20) as archive:
                yield from _whole_members(archive, is_wanted, progress)
                progress.is_at_end = archive.is_at_end
        except _DAMAGE as error:
            progress.problem = reason_of(error)
    if progress.is_at_end:
        return
    why = progress.problem
    if not progress.is_archive:
        raise ShardError(f"is not a tar archive, or its beginning is damaged: {why}", Kind.DAMAGED_ARCHIVE, name)
    before = counted(progress.count, "member")
    yield NoImage(name, f"is truncated or damaged ({why}); the part before ({before}) was read", Kind.DAMAGED_ARCHIVE)


def _whole_members(
    archive: tarfile.TarFile, is_wanted: Callable[[TarMember], bool], progress: _Progress
) -> Iterator[TarMember]:
    """Yield the members up to the end or an error, without folders; note the progress."""
    counts = Counter[str]()  # name -> wanted members so far
    while member := archive.next():
        assert isinstance(member, TarMember)
        archive.members.clear()  # type: ignore[attr-defined]  # the list would grow with the archive
        progress.is_archive = True
        member.key, member.suffix = split_key(member.name)
        member.shown = member.name
        if member.isreg() and member.size <= LARGEST_IMAGE and is_wanted(member):
            counts[member.name] += 1
            if counts[member.name] > 1:
                member.shown += f"::{counts[member.name]}"
            member.data = archive.extractfile(member).read()  # type: ignore[union-attr]
        progress.count += 1
        if not member.isdir():
            yield member
