"""What is asked of images' features: columns of pairs or of single texts, and their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ..checks import check_one_of
from ..clip.arithmetic import exact
from ..clip.model import FrozenCLIP
from ..errors import PromptError
from .antonym import antonym_scores, column_means
from .heads import OpinionHead
from .pairs import PromptPair, Question, QuestionsByColumn, check_averaged
from .single import SingleText

Aggregate = Literal["mean"] | None
CallAggregate = Aggregate | Literal["default"]
"""``aggregate`` of one call; ``'default'`` means the metric's own ``aggregate``."""

AskedColumns = Sequence[tuple[Question, ...]]
"""What each score column asks: pairs, whose scores are averaged, or a single text."""


def asked_columns(
    prompts: Sequence[Question] | QuestionsByColumn, aggregate: CallAggregate, default: Aggregate
) -> AskedColumns:
    """Return what each column asks; ``default`` is the ``aggregate`` of a metric whose call has none."""
    if isinstance(prompts, QuestionsByColumn):
        check_one_of("aggregate", aggregate, ("default", None))
        columns: AskedColumns = list(prompts.values())
    else:
        check_one_of("aggregate", aggregate, ("mean", None, "default"))
        is_averaged = (default if aggregate == "default" else aggregate) == "mean"
        columns = [tuple(prompts)] if is_averaged else [(question,) for question in prompts]
    for column in columns:
        check_averaged(column)
    return columns


def only_pairs(questions: Iterable[Question], needed_by: str) -> tuple[PromptPair, ...]:
    """Return questions as pairs; raise PromptError for a single text.

    Args:
        needed_by: What needs pairs, as the beginning of a sentence.
    """
    pairs = []
    for question in questions:
        if isinstance(question, SingleText):
            raise PromptError(
                f"{needed_by} needs pairs of texts as `{{prompts}}`; got {question.name!r}, whose score is a cosine: "
                f"add an antonym, as in 'Good photo.|Bad photo.'.",
                options=("prompts",),
            )
        pairs.append(question)
    return tuple(pairs)


def check_local(columns: AskedColumns | None, head: OpinionHead | None) -> None:
    """Raise PromptError for what cannot be asked of places; None for columns asks learned prompts or the head."""
    if columns is None and head is not None:
        raise PromptError("a fitted head scores whole images only: pass a pair of prompts for a map.")
    for questions in columns or ():
        only_pairs(questions, "a map")


def pair_features(columns: AskedColumns, clip: FrozenCLIP, dtype: torch.dtype) -> Tensor:
    """Return unit text features ``(P, 2, D)`` of the pairs of all columns, positive first, on the CPU."""
    pairs = [pair for column in columns for pair in column]
    texts = [text for pair in pairs for text in pair.texts]
    return clip.encode_texts(texts, dtype).unflatten(0, (-1, 2))


def column_scores(features: Tensor, columns: AskedColumns, clip: FrozenCLIP) -> Tensor:
    """Return a score for each column, ``(…, C)``: the mean of its pairs' scores, or its single text's cosine.

    Args:
        features: Unit image features ``(…, D)``.
    """
    of_pairs = [place for place, column in enumerate(columns) if not isinstance(column[0], SingleText)]
    of_singles = [place for place, column in enumerate(columns) if isinstance(column[0], SingleText)]
    scores = []
    if of_pairs:
        scores.append(_pair_scores(features, [columns[place] for place in of_pairs], clip))
    if of_singles:
        texts = [columns[place][0].texts[0] for place in of_singles]
        encoded = clip.encode_texts(texts, features.dtype).to(features.device)
        scores.append(_cosines(features, encoded))
    if len(scores) == 1:
        return scores[0]
    places = [*of_pairs, *of_singles]
    in_order = [places.index(place) for place in range(len(columns))]
    return torch.cat(scores, dim=-1)[..., in_order]


def _pair_scores(features: Tensor, columns: AskedColumns, clip: FrozenCLIP) -> Tensor:
    texts = pair_features(columns, clip, features.dtype).to(features.device)
    scores = antonym_scores(features, texts, clip.logit_scale)  # (N, P), or (N, h, w, P) of a map
    return column_means(scores, list(map(len, columns)))


def _cosines(features: Tensor, texts: Tensor) -> Tensor:
    """Return the cosines of images and texts, ``(…, T)``, in the dtype of the features.

    Args:
        features: Unit image features ``(…, D)``.
        texts: Unit text features ``(T, D)``.
    """
    return (exact(features) @ exact(texts).T).to(features.dtype)


def unknown_names(clip: FrozenCLIP, columns: Mapping[str, Iterable[Question]]) -> list[str]:
    """Return the names of columns with words that a CLIP never saw."""
    texts = {name: [text for pair in pairs for text in pair.texts] for name, pairs in columns.items()}
    return [name for name in texts if not clip.knows(*texts[name])]
