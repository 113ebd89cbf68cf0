"""Scores of images: one row each, and the files that rows are kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..imports import lazily
from .result_reading import read_results
from .rows import Header, ResultsError, Row

if TYPE_CHECKING:
    from .score import ScoringRun, score_paths
    from .sharded.filtered import filter_shards
    from .sharded.run import score_sources
    from .sharded.summary import ShardedResult, merge_shards

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
if not TYPE_CHECKING:  # whom it would make believe in every name
    __getattr__, __dir__ = lazily(
        __name__,
        {  # import torch, which `clipiqa --help` need not wait for
            **dict.fromkeys(("ScoringRun", "score_paths"), "score"),
            "filter_shards": "sharded.filtered",
            "score_sources": "sharded.run",
            **dict.fromkeys(("ShardedResult", "merge_shards"), "sharded.summary"),
        },
    )
