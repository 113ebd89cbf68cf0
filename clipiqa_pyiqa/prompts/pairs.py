"""The types of questions: prompt pairs, single texts, and the questions of several columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import PromptError
from ..text import twice_in
from .single import COSINE_RANGE, SingleText


@dataclass(frozen=True)
class PromptPair:
    """Two opposite texts; a free pair (a user's own texts) has the name ``positive|negative``."""

    name: str
    positive: str
    negative: str

    @property
    def texts(self) -> tuple[str, str]:
        return self.positive, self.negative


Question: TypeAlias = PromptPair | SingleText


class QuestionsByColumn(dict[str, tuple[Question, ...]]):
    """The questions of each score column: the pairs whose scores are averaged, or a single text."""


Prompts: TypeAlias = str | Question | tuple[str, str] | Sequence[str | Question | Sequence[str]] | None
"""Values that a user may pass as prompts: see :func:`~clipiqa_pyiqa.prompts.parsing.parse_prompts`."""


def free_pair(positive: str, negative: str) -> PromptPair:
    """Return the pair of a user's own texts."""
    return PromptPair(f"{positive}|{negative}", positive, negative)


def check_averaged(questions: Sequence[Question]) -> None:
    """Raise PromptError for a single text among several questions whose scores would be averaged."""
    singles = [question for question in questions if isinstance(question, SingleText)]
    if singles and len(questions) > 1:
        raise PromptError(
            f"the score of {singles[0].name!r} is a cosine, which is not averaged with other scores: pass it alone as "
            "`prompts`, or aggregate=None for a column each.",
            options=("prompts", "aggregate"),
        )


def check_names(names: Sequence[str]) -> None:
    """Raise PromptError if two columns have one name: the second would take the place of the first."""
    name = twice_in(names)
    if name:
        raise PromptError(
            f"two of `prompts` are named {name!r}, but each column needs a name of its own: leave one out.",
            options=("prompts",),
        )


def score_range(questions: Iterable[Question]) -> tuple[float, float]:
    """Return the lowest and the highest score of a column of pairs, or of a single text."""
    has_single = any(isinstance(question, SingleText) for question in questions)
    return COSINE_RANGE if has_single else (0.0, 1.0)
