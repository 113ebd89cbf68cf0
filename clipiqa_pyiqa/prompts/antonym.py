"""The antonym softmax: Wang et al., AAAI 2023, Sec. 3.1, Eqs. 2 and 3, times CLIP's logit scale (100)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..clip.gradient import is_traced


def margins(features: Tensor, pairs: Tensor, logit_scale: float) -> Tensor:
    """Return the positive minus the negative prompt's logit, ``(…, P)``, in the dtype of the features.

    Args:
        features: Unit image features ``(…, D)``.
        pairs: Unit text features ``(P, 2, D)``, positive first.
        logit_scale: CLIP's factor of logits.
    """
    return _exact_margins(features, pairs, logit_scale).to(features.dtype)


def antonym_scores(features: Tensor, pairs: Tensor, logit_scale: float) -> Tensor:
    """Return the positive prompt's probability, ``(…, P)``; arguments as for :func:`margins`."""
    return sigmoid(_exact_margins(features, pairs, logit_scale)).to(features.dtype)


def _exact_margins(features: Tensor, pairs: Tensor, logit_scale: float) -> Tensor:
    """Return margins that are not rounded to the dtype of the features."""
    exact_pairs = exact(pairs)
    return logit_scale * exact(features) @ (exact_pairs[:, 0] - exact_pairs[:, 1]).T


def exact(x: Tensor) -> Tensor:
    """Return a tensor in float64, so that a result, rounded once, does not depend on the size of the batch.

    Apple's GPUs have no float64, and a traced network needs none: there the tensor keeps its dtype.
    """
    return x if x.device.type == "mps" or is_traced() else x.double()


def column_means(scores: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the mean of each group of ``sizes[c]`` neighbouring columns, ``(…, C)``."""
    if len(sizes) == scores.shape[-1]:
        return scores
    return torch.cat([column.mean(dim=-1, keepdim=True) for column in scores.split(list(sizes), dim=-1)], dim=-1)


def sigmoid(margin: Tensor) -> Tensor:
    """Return the sigmoid, with a gradient even where the value rounds to 1."""
    # torch computes the gradient from the value y as y (1 - y), so use the side where y is small
    return torch.where(margin > 0, 1 - (-margin).sigmoid(), margin.sigmoid())
