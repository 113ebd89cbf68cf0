"""Metrics side by side on data sets: what is asked for, running it, and the results.

``compare`` does all of it; ``Comparison``, ``DataSetResult`` and ``MetricResult`` are what comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..imports import lazily

if TYPE_CHECKING:
    from .results import Comparison, DataSetResult, MetricPair, MetricResult
    from .run import compare

__all__ = ["Comparison", "DataSetResult", "MetricPair", "MetricResult", "compare"]
if not TYPE_CHECKING:  # whom it would make believe in every name
    __getattr__, __dir__ = lazily(
        __name__,
        {**dict.fromkeys(("Comparison", "DataSetResult", "MetricPair", "MetricResult"), "results"), "compare": "run"},
    )
