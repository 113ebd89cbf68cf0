"""Images that results name: files, ``SHARD::MEMBER``, ``TABLE::ROW``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..errors import CLIPIQAError
from ..files.names import printable
from ..images.source import ImageSource, NoImage, reason
from .parquet import SUFFIXES, ParquetShard
from .stores import source_at
from .tar import TarShard

_MEMBER = re.compile(r"(.+?\.(?:tar(?:\.gz|\.bz2|\.xz)?|tgz|parquet|pq))::(.+)", re.IGNORECASE | re.DOTALL)


def split_name(name: str) -> tuple[str, str]:
    found = _MEMBER.fullmatch(name)
    return (found[1], found[2]) if found else ("", name)


def images_named(names: Iterable[str]) -> Iterator[ImageSource]:
    """Yield the image of each name in results, shard by shard; a missing image is a ``NoImage``."""
    shards: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        shards.setdefault(split_name(name)[0], []).append(name)
    for shard, wanted in shards.items():
        if not shard:
            yield from map(source_at, wanted)
            continue
        if shard.lower().endswith(SUFFIXES):
            entries = ParquetShard(shard).entries({int(row) for _, row in map(split_name, wanted) if row.isdecimal()})
        else:
            entries = TarShard(shard).entries()
        missing, why = dict.fromkeys(wanted), "is not in its shard"
        try:
            for source in entries:
                if (name := printable(source.name)) in missing:
                    missing.pop(name)
                    source.name = name  # type: ignore[misc]
                    yield source
                if not missing:
                    break
        except (CLIPIQAError, OSError) as error:
            why = f"cannot be read from its shard: {getattr(error, 'reason', '') or reason(error)}"
        yield from (NoImage(name, why) for name in missing)
