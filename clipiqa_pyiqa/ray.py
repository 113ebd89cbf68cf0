"""CLIP-IQA on Ray: the scorer for Ray Data, and the engine for shards."""

from .scoring.score import Scorer
from .scoring.shards.ray_engine import RayEngine

__all__ = ["RayEngine", "Scorer"]
