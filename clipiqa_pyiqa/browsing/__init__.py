"""Photos with scores: the worst and the best of them, copied, moved or linked elsewhere, and a page to browse them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..imports import lazily

if TYPE_CHECKING:
    from .page import write_browser
    from .picking import Photos, pick
    from .transfers import transfer, undo

__all__ = ["Photos", "pick", "transfer", "undo", "write_browser"]
if not TYPE_CHECKING:  # whom it would make believe in every name
    __getattr__, __dir__ = lazily(
        __name__,
        {
            **dict.fromkeys(("Photos", "pick"), "picking"),
            **dict.fromkeys(("transfer", "undo"), "transfers"),
            "write_browser": "page",
        },
    )
