"""Statistics with intervals: correlations, logistic fits, shares and paired differences."""

from .agreement import correlations
from .correlation import krcc, plcc, srocc
from .logistic import fit_logistic
from .mean_differences import mean_difference
from .metric_differences import paired_differences
from .shares import clustered_share, share
from .significance import holm

__all__ = [
    "clustered_share",
    "correlations",
    "fit_logistic",
    "holm",
    "krcc",
    "mean_difference",
    "paired_differences",
    "plcc",
    "share",
    "srocc",
]
