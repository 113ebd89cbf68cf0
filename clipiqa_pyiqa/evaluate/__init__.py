"""Metrics side by side, and the paper's experiments: functions that return pandas frames and matplotlib figures."""

from .comparison import Comparison, DataSetResult, MetricResult
from .correlation import Estimate, correlations

__all__ = ["Comparison", "DataSetResult", "Estimate", "MetricResult", "correlations"]
