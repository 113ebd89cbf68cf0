"""Learning from people's scores: prompts, words and heads, each by one function, on image features that are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..imports import lazily

if TYPE_CHECKING:
    from .feature_store import FeatureStore
    from .fitting import FitResult, fit
    from .training import TrainingResult, train
    from .word_search import Findings, search_prompts

__all__ = ["FeatureStore", "Findings", "FitResult", "TrainingResult", "fit", "search_prompts", "train"]
if not TYPE_CHECKING:  # whom it would make believe in every name
    __getattr__, __dir__ = lazily(
        __name__,
        {
            **{"FeatureStore": "feature_store", "FitResult": "fitting", "Findings": "word_search"},
            **{"TrainingResult": "training", "fit": "fitting", "search_prompts": "word_search", "train": "training"},
        },
    )
