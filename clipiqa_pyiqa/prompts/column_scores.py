"""Scores of what is asked: one for each column, from the features of images and texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..clip.arithmetic import exact
from ..clip.model import FrozenCLIP
from .antonym import antonym_scores
from .questions import AskedQuestions
from .single import SingleText


def pair_features(asked: AskedQuestions, clip: FrozenCLIP, dtype: torch.dtype) -> Tensor:
    """Return unit text features ``(P, 2, D)`` of all pairs that are asked, positive first, on the CPU."""
    pairs = [pair for questions in asked for pair in questions]
    texts = [text for pair in pairs for text in pair.texts]
    return clip.encode_texts(texts, dtype).unflatten(0, (-1, 2))


def column_scores(features: Tensor, asked: AskedQuestions, clip: FrozenCLIP) -> Tensor:
    """Return a score for each column, ``(…, C)``: the mean of its pairs' scores, or the cosine of its single text.

    Args:
        features: Unit image features ``(…, D)``.
    """
    of_pairs = [column for column, questions in enumerate(asked) if not isinstance(questions[0], SingleText)]
    of_singles = [column for column, questions in enumerate(asked) if isinstance(questions[0], SingleText)]
    if not of_singles:
        return _pair_scores(features, asked, clip)
    texts = [asked[column][0].texts[0] for column in of_singles]
    cosines = _cosines(features, clip.encode_texts(texts, features.dtype).to(features.device))
    if not of_pairs:
        return cosines
    pair_scores = _pair_scores(features, [asked[column] for column in of_pairs], clip)
    computed = [*of_pairs, *of_singles]  # the columns in the order of their scores
    in_order = [computed.index(column) for column in range(len(asked))]
    return torch.cat([pair_scores, cosines], dim=-1)[..., in_order]


def _pair_scores(features: Tensor, asked: AskedQuestions, clip: FrozenCLIP) -> Tensor:
    texts = pair_features(asked, clip, features.dtype).to(features.device)
    scores = antonym_scores(features, texts, clip.logit_scale)  # (N, P), or (N, h, w, P) of a map
    return column_means(scores, list(map(len, asked)))


def _cosines(features: Tensor, texts: Tensor) -> Tensor:
    """Return the cosines of images and texts, ``(…, T)``, in the dtype of the features.

    Args:
        features: Unit image features ``(…, D)``.
        texts: Unit text features ``(T, D)``.
    """
    return (exact(features) @ exact(texts).T).to(features.dtype)


def column_means(scores: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the mean of each group of ``sizes[c]`` neighbouring columns, ``(…, C)``."""
    if len(sizes) == scores.shape[-1]:
        return scores
    return torch.cat([column.mean(dim=-1, keepdim=True) for column in scores.split(list(sizes), dim=-1)], dim=-1)
