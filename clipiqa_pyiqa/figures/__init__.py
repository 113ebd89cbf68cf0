"""The paper's figures and experiments, each one function whose result has ``.save(folder)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..imports import lazily

if TYPE_CHECKING:
    from .attribute_sweep import sweep
    from .demonstration import demo
    from .image_pairs import pairs
    from .look_and_feel import radar
    from .ranking import rank
    from .user_study import agreement

__all__ = ["agreement", "demo", "pairs", "radar", "rank", "sweep"]
if not TYPE_CHECKING:  # whom it would make believe in every name
    __getattr__, __dir__ = lazily(
        __name__,
        {
            **{"agreement": "user_study", "demo": "demonstration", "pairs": "image_pairs"},
            **{"radar": "look_and_feel", "rank": "ranking", "sweep": "attribute_sweep"},
        },
    )
