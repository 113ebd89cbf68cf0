"""Metrics side by side on data sets: what is asked for, running it, and the results.

``compare`` does all of it; ``Comparison``, ``DataSetResult`` and ``MetricResult`` are what comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .results import Comparison, DataSetResult, MetricPair, MetricResult
    from .run import compare

__all__ = ["Comparison", "DataSetResult", "MetricPair", "MetricResult", "compare"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "compare":
        from .run import compare

        return compare
    from . import results

    return getattr(results, name)
