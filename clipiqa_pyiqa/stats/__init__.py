"""Statistics with intervals: correlations, logistic fits, shares and paired differences."""

from .bootstrap import clustered_share, holm, share
from .correlation import correlations, fit_logistic, krcc, paired_differences, plcc, srocc
from .paired_means import mean_difference

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
