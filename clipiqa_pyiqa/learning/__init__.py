"""Learning from people's scores: prompts, words and heads, each by one function, on image features that are stored."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .feature_store import FeatureStore as FeatureStore
    from .fitting import FitResult as FitResult
    from .fitting import fit as fit
    from .training import TrainingResult as TrainingResult
    from .training import train as train
    from .word_search import Findings as Findings
    from .word_search import search_prompts as search_prompts

_PLACES = {
    **{"FeatureStore": "feature_store", "FitResult": "fitting", "Findings": "word_search"},
    **{"TrainingResult": "training", "fit": "fitting", "search_prompts": "word_search", "train": "training"},
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _PLACES:  # imports torch, which the command line need not wait for
        return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
