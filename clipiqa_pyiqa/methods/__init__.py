"""Several methods side by side: their table, as papers print it, and the gate between two runs.

``table`` scores folders of several methods with the same file names; ``gate`` compares two score files of one set of
inputs. ``MethodTable`` and ``Gate`` are what comes back.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .paired_runs import Gate, gate
    from .results import MethodTable
    from .run import table

_PLACES = {"Gate": "paired_runs", "MethodTable": "results", "gate": "paired_runs", "table": "run"}
__all__ = ["Gate", "MethodTable", "gate", "table"]


def __getattr__(name: str) -> Any:
    if name in _PLACES:  # imports torch and pandas, which the command line need not wait for
        return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
