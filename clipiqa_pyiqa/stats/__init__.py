"""Statistics with intervals: correlations, logistic fits, shares and paired differences."""

from .bootstrap import holm, paired_differences
from .correlation import correlations, krcc, plcc, srocc, srocc_with
from .logistic import fit_logistic
from .paired_means import mean_difference
from .proportions import clustered_share, share

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
