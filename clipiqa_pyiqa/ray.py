"""CLIP-IQA on Ray: the scorer for Ray Data, and the engine for shards."""

from .scoring.score import Scorer
from .scoring.shards.run import RayEngine

__all__ = ["RayEngine", "Scorer"]
