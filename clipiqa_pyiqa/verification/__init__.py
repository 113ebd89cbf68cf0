"""Which weights and prompts are at hand, and whether they give the published values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..imports import lazily

if TYPE_CHECKING:
    from .at_hand import FileAtHand, WeightsAtHand, weights_at_hand
    from .learned_prompts import LearnedPromptsVerification, verify_learned_prompts
    from .scores import Verification, verify

__all__ = [
    "FileAtHand",
    "LearnedPromptsVerification",
    "Verification",
    "WeightsAtHand",
    "verify",
    "verify_learned_prompts",
    "weights_at_hand",
]
if not TYPE_CHECKING:  # whom it would make believe in every name
    __getattr__, __dir__ = lazily(
        __name__,
        {
            **dict.fromkeys(("FileAtHand", "WeightsAtHand", "weights_at_hand"), "at_hand"),
            **dict.fromkeys(("LearnedPromptsVerification", "verify_learned_prompts"), "learned_prompts"),
            **dict.fromkeys(("Verification", "verify"), "scores"),
        },
    )
