"""Scores of images: one row each, and the files that rows are kept in."""

from typing import TYPE_CHECKING

from .result_files import read_results
from .rows import Header, ResultsError, Row

if TYPE_CHECKING:
    from .score import ScoringRun, score_paths

__all__ = ["Header", "ResultsError", "Row", "ScoringRun", "read_results", "score_paths"]


def __getattr__(name: str) -> object:
    if name in ("ScoringRun", "score_paths"):  # imports torch, which `clipiqa --help` need not wait for
        from . import score

        return getattr(score, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
