"""Scores of images: one row each, and the files that rows are kept in."""

import importlib
from typing import TYPE_CHECKING

from .result_files import read_results
from .rows import Header, ResultsError, Row

if TYPE_CHECKING:
    from .score import ScoringRun, score_paths
    from .sharded.filtered import filter_shards
    from .sharded.run import score_sources
    from .sharded.summary import ShardedResult, merge_shards

_LATE = {  # imports torch, which `clipiqa --help` need not wait for
    **dict.fromkeys(("ScoringRun", "score_paths"), "score"),
    "filter_shards": "sharded.filtered",
    "score_sources": "sharded.run",
    **dict.fromkeys(("ShardedResult", "merge_shards"), "sharded.summary"),
}
__all__ = [
    "Header",
    "ResultsError",
    "Row",
    "ScoringRun",
    "ShardedResult",
    "filter_shards",
    "merge_shards",
    "read_results",
    "score_paths",
    "score_sources",
]


def __getattr__(name: str) -> object:
    if name in _LATE:
        return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
