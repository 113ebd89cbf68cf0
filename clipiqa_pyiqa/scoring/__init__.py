"""Scores of images: one row each, and the files that rows are kept in."""

from __future__ import annotations

import importlib

_LATE = {  # what others may use -> its module, imported when first asked for, as the first imports torch
    **dict.fromkeys(("ScoringRun", "score_paths"), "score"),
    "read_results": "result_files",
    **dict.fromkeys(("Header", "ResultsError", "Row"), "rows"),
}


def __getattr__(name: str) -> object:
    if name in _LATE:
        return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_LATE)
