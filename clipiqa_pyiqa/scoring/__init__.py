"""Scores of images: one row each, and the files that rows are kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazily
from .result_files import read_results
from .rows import Header, ResultsError, Row

if TYPE_CHECKING:
    from .score import ScoringRun, score_paths

__all__ = ["Header", "ResultsError", "Row", "ScoringRun", "read_results", "score_paths"]
if not TYPE_CHECKING:  # whom it would make believe in every name
    __getattr__, __dir__ = lazily(__name__, dict.fromkeys(("ScoringRun", "score_paths"), "score"))
