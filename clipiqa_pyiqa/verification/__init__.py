"""Whether the weights and prompts on this machine give the published values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..imports import lazily

if TYPE_CHECKING:
    from .learned_prompts import LearnedPromptsVerification, verify_learned_prompts
    from .scores import Verification, verify

__all__ = [
    "LearnedPromptsVerification",
    "Verification",
    "verify",
    "verify_learned_prompts",
]
if not TYPE_CHECKING:  # whom it would make believe in every name
    __getattr__, __dir__ = lazily(
        __name__,
        {
            **dict.fromkeys(("LearnedPromptsVerification", "verify_learned_prompts"), "learned_prompts"),
            **dict.fromkeys(("Verification", "verify"), "scores"),
        },
    )
