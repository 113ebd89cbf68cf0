"""The paper's figures and experiments, each one function whose result has ``.save(folder)``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attribute_sweep import sweep as sweep
    from .demonstration import demo as demo
    from .image_pairs import pairs as pairs
    from .look_and_feel import radar as radar
    from .ranking import rank as rank
    from .user_study import agreement as agreement

_PLACES = {
    **{"agreement": "user_study", "demo": "demonstration", "pairs": "image_pairs"},
    **{"radar": "look_and_feel", "rank": "ranking", "sweep": "attribute_sweep"},
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _PLACES:  # imports torch and pandas, which the command line need not wait for
        return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
