"""Statistics with intervals: correlations, logistic fits, shares and paired differences."""

from .agreement import correlations, paired_differences
from .correlation import krcc, plcc, srocc
from .intervals import clustered_share, holm, mean_difference, share
from .logistic import fit_logistic

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
