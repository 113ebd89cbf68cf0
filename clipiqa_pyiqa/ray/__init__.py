"""CLIP-IQA on a Ray cluster: an engine for ``score_sources``, and a class for pipelines of Ray Data."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import RayEngine
    from .scorer import Scorer

_LATE = {"RayEngine": "engine", "Scorer": "scorer"}
__all__ = ["RayEngine", "Scorer"]


def __getattr__(name: str) -> object:
    if name in _LATE:  # imports torch
        import importlib

        return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
