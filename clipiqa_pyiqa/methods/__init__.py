"""Several methods side by side: their table, as papers print it, and the gate between two runs.

``table`` scores folders of several methods with the same file names; ``gate`` compares two score files of one set of
inputs. ``MethodTable`` and ``Gate`` are what comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..imports import lazily

if TYPE_CHECKING:
    from .paired_runs import Gate, gate
    from .results import MethodTable
    from .run import table

__all__ = ["Gate", "MethodTable", "gate", "table"]
if not TYPE_CHECKING:  # whom it would make believe in every name
    __getattr__, __dir__ = lazily(
        __name__, {**dict.fromkeys(("Gate", "gate"), "paired_runs"), "MethodTable": "results", "table": "run"}
    )
