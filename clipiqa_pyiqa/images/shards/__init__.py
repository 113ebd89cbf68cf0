"""Shards: tar archives, Parquet files, embeddings and numbered lists of files, on disk or in object stores."""

from .finding import Found, find_shards
from .members import Shard, ShardError

__all__ = ["Found", "Shard", "ShardError", "find_shards"]
