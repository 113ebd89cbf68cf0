"""Images by the names that results give them: files, ``SHARD::MEMBER`` of a tar archive, ``TABLE::ROW``."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Collection, Iterable, Iterator

from ..errors import CLIPIQAError
from ..files.names import printable
from ..images.source import ImageSource, NoImage, reason
from .members import Entry
from .parquet import SUFFIXES, ParquetShard
from .stores import opened, source_at
from .tar import DAMAGE

_MEMBER = re.compile(r"(.+?\.(?:tar(?:\.gz|\.bz2|\.xz)?|tgz|parquet|pq))::(.+)", re.IGNORECASE | re.DOTALL)


def split_name(name: str) -> tuple[str, str]:
    """Return the shard and the member that a recorded name consists of; of a loose file, ``''`` and its path."""
    found = _MEMBER.fullmatch(name)
    return (found[1], found[2]) if found else ("", name)


def images_named(names: Iterable[str]) -> Iterator[ImageSource]:
    """Yield the image of each recorded name, reading each shard once.

    Images come shard by shard, so in another order than the names; each has the name that was given. An image that is
    gone is a ``NoImage`` with the reason.

    Args:
        names: As they stand in the column ``path`` of results.
    """
    shards: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        shards.setdefault(split_name(name)[0], []).append(name)
    for shard, wanted in shards.items():
        if not shard:
            yield from map(source_at, wanted)
            continue
        found, why = set(), "is not in its shard"
        try:
            for source in _images_of(shard, wanted):
                found.add(source.name)
                yield source
        except (CLIPIQAError, OSError, *DAMAGE) as error:
            why = f"cannot be read from its shard: {getattr(error, 'reason', '') or reason(error)}"
        for name in wanted:
            if name not in found:
                yield NoImage(name, why)


def _images_of(shard: str, wanted: Collection[str]) -> Iterator[ImageSource]:
    if shard.lower().endswith(SUFFIXES):
        rows = {int(row) for _, row in map(split_name, wanted) if row.isdecimal()}
        yield from ParquetShard(shard).entries(rows)
        return
    left = set(wanted)
    with opened(shard) as file, tarfile.open(fileobj=file) as archive:
        for info in archive:
            name = f"{shard}::{printable(info.name)}"
            if name in left and info.isreg() and (content := archive.extractfile(info)) is not None:
                left.remove(name)
                yield Entry(name, content.read())
            if not left:
                return
