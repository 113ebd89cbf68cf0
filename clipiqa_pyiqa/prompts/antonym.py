"""Scores from features: Wang et al., AAAI 2023, Sec. 3.1, Eqs. 1 to 3, with CLIP's logit scale (100)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..clip.arithmetic import exact, sigmoid
from ..clip.model import FrozenCLIP
from .pairs import AskedQuestions, SingleText


def margins(features: Tensor, pairs: Tensor, logit_scale: float) -> Tensor:
    """Return the positive minus the negative prompt's logit, ``(…, P)``, in the dtype of the features.

    Args:
        features: Unit image features ``(…, D)``.
        pairs: Unit text features ``(P, 2, D)``, positive first.
        logit_scale: CLIP's factor of logits.
    """
    return _exact_margins(features, pairs, logit_scale).to(features.dtype)


def antonym_scores(features: Tensor, pairs: Tensor, logit_scale: float) -> Tensor:
    """Return the positive prompt's probability (Eqs. 2 and 3), ``(…, P)``; arguments as for :func:`margins`."""
    return sigmoid(_exact_margins(features, pairs, logit_scale)).to(features.dtype)


def _exact_margins(features: Tensor, pairs: Tensor, logit_scale: float) -> Tensor:
    """Return margins that are not rounded to the dtype of the features."""
    exact_pairs = exact(pairs)
    return logit_scale * exact(features) @ (exact_pairs[:, 0] - exact_pairs[:, 1]).T


def pair_features(asked: AskedQuestions, clip: FrozenCLIP, dtype: torch.dtype) -> Tensor:
    """Return unit text features ``(P, 2, D)`` of all pairs that are asked, positive first, on the CPU."""
    texts = [text for questions in asked for pair in questions for text in pair.texts]
    return clip.encode_texts(texts, dtype).unflatten(0, (-1, 2))


def column_scores(features: Tensor, asked: AskedQuestions, clip: FrozenCLIP) -> Tensor:
    """Return a score for each column, ``(…, C)``: the mean of its pairs' scores, or the cosine of its single text.

    Args:
        features: Unit image features ``(…, D)``.
    """
    of_pairs = [column for column, questions in enumerate(asked) if not isinstance(questions[0], SingleText)]
    of_singles = [column for column, questions in enumerate(asked) if isinstance(questions[0], SingleText)]
    scores = []
    if of_pairs:
        columns = [asked[column] for column in of_pairs]
        pairs = pair_features(columns, clip, features.dtype).to(features.device)
        pair_scores = antonym_scores(features, pairs, clip.logit_scale)  # (N, P), or (N, h, w, P) of a map
        scores.append(column_means(pair_scores, [len(questions) for questions in columns]))
    if of_singles:
        texts = clip.encode_texts([asked[column][0].texts[0] for column in of_singles], features.dtype)
        cosines = exact(features) @ exact(texts.to(features.device)).T  # Eq. 1
        scores.append(cosines.to(features.dtype))
    if len(scores) == 1:
        return scores[0]
    computed = [*of_pairs, *of_singles]  # the columns in the order of their scores
    in_order = [computed.index(column) for column in range(len(asked))]
    return torch.cat(scores, dim=-1)[..., in_order]


def column_means(scores: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the mean of each group of ``sizes[c]`` neighbouring columns, ``(…, C)``."""
    if len(sizes) == scores.shape[-1]:
        return scores
    return torch.cat([column.mean(dim=-1, keepdim=True) for column in scores.split(list(sizes), dim=-1)], dim=-1)
