"""Heads: functions from unit image features ``(N, D)``, or ``(N, K, D)`` of K patches, to scores."""

from __future__ import annotations

import torch
from torch import Tensor

from ..prompts.antonym import antonym_scores


def pairs(features: Tensor, texts: Tensor, scale: float) -> Tensor:
    """Return the mean probability of the positive texts in pairs ``(P, 2, D)``: ``(N,)`` or ``(N, K)``."""
    return antonym_scores(features.flatten(0, -2), texts, scale).mean(1).view(features.shape[:-1])


def levels(features: Tensor, texts: Tensor, scale: float) -> Tensor:
    """Return the expected level, 1 to L, ``(N,)`` (Zhang et al., CVPR 2023, Eqs. 4 and 6).

    Args:
        features: ``(N, K, D)``; logits are averaged over patches.
        texts: ``(L, T, D)``, T texts of each level, the worst level first.
    """
    logits = scale * features.mean(1) @ texts.flatten(0, 1).T
    shares = logits.softmax(1).unflatten(1, texts.shape[:2]).sum(2)
    return shares @ torch.arange(1, len(texts) + 1).to(shares)


def magnitude(features: Tensor, texts: Tensor, scale: float) -> Tensor:
    """Return a mean of text similarity and channel magnitude, ``(N,)``, weighted by their difference.

    Source: Liao et al., AAAI 2026, https://arxiv.org/abs/2511.09948.
    """
    similar = pairs(features, texts, scale)
    sizes = features.abs()
    sizes = sizes / sizes.std(-1, keepdim=True)
    large = (2 * ((sizes + 1).sqrt() - 1)).mean(-1)
    difference = similar - large
    weight = torch.sigmoid(0.4 + 2 * difference)  # a softmax over 1 + difference and 0.6 - difference
    return (weight * similar + (1 - weight) * large).mean(1)
