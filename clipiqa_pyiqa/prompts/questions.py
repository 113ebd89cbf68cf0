"""What is asked of images: pairs or a single text for each score column, and checks of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ..checks import check_one_of
from ..errors import PromptError
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
                f"{needed_by} needs pairs of texts as `prompts`; got {question.name!r}, whose score is a cosine: "
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
            f"aggregate must be left out, since {needed_by} averages over its pairs of prompts; got None.",
            options=("aggregate",),
        )
    return only_pairs(parse_prompts(prompts, options.get("template")), needed_by)


def check_local(asked: AskedQuestions | None, head: OpinionHead | None) -> None:
    """Raise PromptError for what cannot be asked of places; None asks learned prompts or the head."""
    if asked is None and head is not None:
        raise PromptError("a fitted head scores whole images only: pass a pair of prompts for a map.")
    for questions in asked or ():
        only_pairs(questions, "a map")
