"""Statistics with intervals: correlations, logistic fits, shares and paired differences."""

from .bootstrap import clustered_share, holm, paired_differences, share
from .correlation import correlations, fit_logistic, krcc, plcc, srocc, srocc_with
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
    "srocc_with",
]
