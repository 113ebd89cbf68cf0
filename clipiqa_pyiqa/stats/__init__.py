"""Numbers in, numbers out: correlations with opinion, logistic fits, shares and paired differences, with intervals."""

from .bootstrap import Difference, Estimate, holm, paired_difference, paired_differences
from .correlation import correlations, krcc, plcc, srocc, srocc_of_many, srocc_with
from .logistic import LogisticFit, fit_logistic
from .paired_means import mean_difference
from .proportions import clustered_share, share

__all__ = [
    "Difference",
    "Estimate",
    "LogisticFit",
    "clustered_share",
    "correlations",
    "fit_logistic",
    "holm",
    "krcc",
    "mean_difference",
    "paired_difference",
    "paired_differences",
    "plcc",
    "share",
    "srocc",
    "srocc_of_many",
    "srocc_with",
]
