"""Correlations of people's scores with a metric's scores of stored features."""

import torch
from torch import Tensor

from ...metric import CLIPIQA
from ...prompts.pairs import Prompts
from ..stats.arrays import Array
from ..stats.correlation import krcc, plcc, srocc

Correlations = dict[str, float]
"""``srocc``, ``plcc`` and ``krcc`` of scores with opinions."""


def scores_of_features(metric: CLIPIQA, features: Tensor, prompts: Prompts = None) -> Array:
    """Return scores ``(M,)`` of features ``(M, D)``; default by the metric's own prompts."""
    with torch.no_grad():
        scores = metric.eval().score(features, prompts, aggregate="mean")
    return scores[:, 0].double().cpu().numpy()


def correlations(scores: Array, targets: Tensor) -> Correlations:
    """Return SROCC, PLCC and KRCC of scores ``(M,)`` with targets ``(M, 1)``."""
    opinions = targets[:, 0].double().cpu().numpy()
    return {"srocc": srocc(scores, opinions), "plcc": plcc(scores, opinions), "krcc": krcc(scores, opinions)}


def correlations_text(of_scores: Correlations) -> str:
    """Return correlations as words: ``'SROCC 0.7000, PLCC 0.7100, KRCC 0.5200'``."""
    return ", ".join(f"{name.upper()} {correlation:.4f}" for name, correlation in of_scores.items())
