"""Photos with scores: the worst and the best of them, copied, moved or linked elsewhere, and a page to browse them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .page import write_browser as write_browser
    from .picking import Photos as Photos
    from .picking import pick as pick
    from .transfers import transfer as transfer
    from .transfers import undo as undo

_PLACES = {
    **{"Photos": "picking", "pick": "picking", "transfer": "transfers", "undo": "transfers"},
    "write_browser": "page",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
