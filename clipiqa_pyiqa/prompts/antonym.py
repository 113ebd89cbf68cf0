"""The antonym softmax: image features and prompt pairs to scores. Pure functions, no state.

Source: Wang et al., AAAI 2023, Sec. 3.1, Eqs. 2 and 3, with CLIP's logit scale (100), which the paper's Eq. 3 leaves
out and every implementation has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def margins(features: Tensor, pairs: Tensor, logit_scale: float) -> Tensor:
    """How much closer each image is to the positive than to the negative prompt, in logits.

    Args:
        features: unit image features ``(N, D)``.
        pairs: unit text features ``(P, 2, D)``, positive first.
        logit_scale: by what cosine similarities are multiplied.

    Returns:
        ``(N, P)``, unbounded; 0 is undecided.
    """
    return logit_scale * features @ (pairs[:, 0] - pairs[:, 1]).T


def antonym_scores(features: Tensor, pairs: Tensor, logit_scale: float) -> Tensor:
    """Probability of the positive prompt, ``(N, P)`` in [0, 1]: the softmax over each pair's two logits.

    Arguments as for :func:`margins`. A softmax over two logits is the sigmoid of their difference.
    """
    return sigmoid(margins(features, pairs, logit_scale))


def column_means(scores: Tensor, sizes: Sequence[int]) -> Tensor:
    """Means of neighbouring pairs, ``(N, P) -> (N, C)``: column c is the mean of the next ``sizes[c]`` pairs."""
    if len(sizes) == scores.shape[1]:
        return scores
    return torch.cat([column.mean(dim=1, keepdim=True) for column in scores.split(list(sizes), dim=1)], dim=1)


def sigmoid(margin: Tensor) -> Tensor:
    """``1 / (1 + exp(-margin))``, with a derivative that does not vanish where the value rounds to 1.

    torch computes the derivative from the value, y (1 - y); so take the side whose value is small.
    """
    return torch.where(margin > 0, 1 - (-margin).sigmoid(), margin.sigmoid())
