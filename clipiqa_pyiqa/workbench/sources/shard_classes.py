"""Which names are those of shards, and of which kind."""

from typing import Any

from ..images.formats import VIDEOS
from .shards import ARCHIVES, TABLES
from .videos import VideoShard


def shard_class(name: str) -> Any:
    """Return the class of a shard with this name; None if it is no shard."""
    name = name.lower()
    if name.endswith(TABLES):
        from .parquet import ParquetShard  # imported here, so that photos do not wait for shards

        return ParquetShard
    if name.endswith(ARCHIVES):
        from .tar import TarShard

        return TarShard
    return VideoShard if name.endswith(VIDEOS) else None
