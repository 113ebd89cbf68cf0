"""What is asked of images' features: columns of pairs or of single texts, and their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..checks import check_one_of
from ..clip.arithmetic import exact
from ..clip.model import FrozenCLIP
from ..errors import PromptError
from .antonym import antonym_scores, column_means
from .heads import OpinionHead
from .pairs import PromptPair, Prompts, Question, QuestionsByColumn, check_averaged
from .parsing import parse_prompts
from .single import SingleText

Aggregate = Literal["mean"] | None
CallAggregate = Aggregate | Literal["default"]
"""``aggregate`` of one call; ``'default'`` means the metric's own ``aggregate``."""

AskedQuestions = Sequence[tuple[Question, ...]]
"""What each score column asks: pairs, whose scores are averaged, or a single text."""


def asked_questions(
    prompts: Sequence[Question] | QuestionsByColumn, aggregate: CallAggregate, default: Aggregate
) -> AskedQuestions:
    """Return what each column asks; ``default`` is the ``aggregate`` of a metric whose call has none."""
    if isinstance(prompts, QuestionsByColumn):
        check_one_of("aggregate", aggregate, ("default", None))
        if not prompts:
            raise PromptError("there are no columns: pass at least one question, such as 'quality'.")
        asked: AskedQuestions = list(prompts.values())
    else:
        check_one_of("aggregate", aggregate, ("mean", None, "default"))
        is_averaged = (default if aggregate == "default" else aggregate) == "mean"
        asked = [tuple(prompts)] if is_averaged else [(question,) for question in prompts]
    for column in asked:
        check_averaged(column)
    return asked


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


def averaged_pairs(prompts: Prompts, options: Mapping[str, Any], needed_by: str) -> tuple[PromptPair, ...]:
    """Return the pairs over which a loss or a reward averages; raise PromptError for what has no such average.

    Args:
        prompts: As a user passes them.
        options: Further options of :class:`~clipiqa_pyiqa.CLIPIQA`.
        needed_by: The loss or the reward, as the beginning of a sentence.
    """
    if options.get("aggregate", "mean") is None:
        raise PromptError(
            f"{{aggregate}} must be left out, since {needed_by} averages over its pairs of prompts; got None.",
            options=("aggregate",),
        )
    return only_pairs(parse_prompts(prompts, options.get("template")), needed_by)


def check_local(asked: AskedQuestions | None, head: OpinionHead | None) -> None:
    """Raise PromptError for what cannot be asked of places; None asks learned prompts or the head."""
    if asked is None and head is not None:
        raise PromptError("a fitted head scores whole images only: pass a pair of prompts for a map.")
    for questions in asked or ():
        only_pairs(questions, "a map")


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


def unknown_names(clip: FrozenCLIP, questions: Mapping[str, Iterable[Question]]) -> list[str]:
    """Return the names of columns with words that a CLIP never saw."""
    texts = {name: [text for pair in pairs for text in pair.texts] for name, pairs in questions.items()}
    return [name for name in texts if not clip.knows(*texts[name])]
