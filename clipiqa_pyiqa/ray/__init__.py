"""CLIP-IQA on a Ray cluster: an engine for ``score_sources``, and a class for pipelines of Ray Data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..imports import lazily

if TYPE_CHECKING:
    from .engine import RayEngine
    from .scorer import Scorer

__all__ = ["RayEngine", "Scorer"]
if not TYPE_CHECKING:  # whom it would make believe in every name
    __getattr__, __dir__ = lazily(__name__, {"RayEngine": "engine", "Scorer": "scorer"})
