"""Prompt pairs of the paper (https://arxiv.org/abs/2207.12396), of the demo and of users."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import PromptError
from .single import RANGE, SingleText

DEFAULT_PAIR = "quality"
DEFAULT_TEMPLATE = "{} photo."  # the paper's template (1), Sec. 4.1


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


class Columns(dict[str, tuple[Question, ...]]):
    """Score columns: a dict from name to the pairs whose scores are averaged, or to a single text."""


Prompts: TypeAlias = str | Question | tuple[str, str] | Sequence[str | Question | Sequence[str]] | None
"""Values that a user may pass as prompts: see :func:`~clipiqa_pyiqa.prompts.parsing.parse_prompts`."""


_BARE = {  # name -> words, positive first
    "quality": "Good|Bad",  # Sec. 3.2
    "aesthetic": "Aesthetic|Not aesthetic",  # official demo
    # Table 3
    "brightness": "Bright|Dark",
    "noisiness": "Clean|Noisy",  # as in the table: high means clean
    "colorfulness": "Colorful|Dull",
    "sharpness": "Sharp|Blurry",
    "contrast": "High contrast|Low contrast",
    # Table 4
    "complex": "Complex|Simple",
    "natural": "Natural|Synthetic",
    "happy": "Happy|Sad",
    "scary": "Scary|Peaceful",
    "new": "New|Old",
    # Table 6
    "warm": "Warm|Cold",
    "real": "Real|Abstract",
    "beautiful": "Beautiful|Ugly",
    "lonely": "Lonely|Sociable",
    "relaxing": "Relaxing|Stressful",
}


def named_pair(name: str, template: str | None = None) -> PromptPair:
    """Return one of the named pairs, in another wording than the paper's if there is a template."""
    positive, negative = _BARE[name].split("|")
    wording = template or DEFAULT_TEMPLATE
    return PromptPair(name, wording.replace("{}", positive), wording.replace("{}", negative))


NAMED_PAIRS = {name: named_pair(name) for name in _BARE}
ALIASES = {
    "colourfulness": "colorfulness",
    "colorfullness": "colorfulness",  # torchmetrics' spelling
    "complexity": "complex",  # torchmetrics' name
}


def free_pair(positive: str, negative: str) -> PromptPair:
    """Return the pair of a user's own texts."""
    return PromptPair(f"{positive}|{negative}", positive, negative)


PRESETS = {
    "pyiqa": tuple(  # the pairs that pyiqa's built-in CLIPIQA averages, in pyiqa's wording
        free_pair(*pair.split("|"))
        for pair in (
            "Good image|bad image",
            "Sharp image|blurry image",
            "sharp edges|blurry edges",
            "High resolution image|low resolution image",
            "Noise-free image|noisy image",
        )
    )
}


def check_averaged(questions: Sequence[Question]) -> None:
    """Raise PromptError for a single text among several questions whose scores would be averaged."""
    singles = [question for question in questions if isinstance(question, SingleText)]
    if singles and len(questions) > 1:
        raise PromptError(
            f"the score of {singles[0].name!r} is a cosine, which is not averaged with other scores: pass it alone as "
            "`{prompts}`, or {aggregate}=None for a column each.",
            options=("prompts", "aggregate"),
        )


def score_range(questions: Iterable[Question]) -> tuple[float, float]:
    """Return the lowest and the highest score of a column of pairs, or of a single text."""
    has_single = any(isinstance(question, SingleText) for question in questions)
    return RANGE if has_single else (0.0, 1.0)
