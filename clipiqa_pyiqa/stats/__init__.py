"""Statistics with intervals: correlations, logistic fits, shares and paired differences."""

from .correlation import correlations, fit_logistic, krcc, paired_differences, plcc, srocc
from .intervals import clustered_share, holm, mean_difference, share

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
