"""What is asked of images: pairs of opposite texts, single texts, and the columns of their scores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from ..checks import check_one_of
from ..clip.tokenizer import tokenizer
from ..errors import PromptError
from ..text import hint_for, shown, twice_in

PREFIX = "single:"
COSINE_RANGE = (-1.0, 1.0)
TEXT_LENGTH = 77  # tokens that CLIP's text tower reads, its start and end marks included
_PREFIX = re.compile(r"\s*single\s*:", re.IGNORECASE)


@dataclass(frozen=True)
class PromptPair:
    """Two opposite texts; a free pair (a user's own texts) has the name ``positive|negative``."""

    name: str
    positive: str
    negative: str

    @property
    def texts(self) -> tuple[str, str]:
        return self.positive, self.negative


@dataclass(frozen=True)
class SingleText:
    """One text; its score is the cosine of image and text (Eq. 1), in [-1, 1], high for images close to the text."""

    text: str

    @property
    def name(self) -> str:
        return PREFIX + self.text

    @property
    def texts(self) -> tuple[str]:
        return (self.text,)


Question: TypeAlias = PromptPair | SingleText


class QuestionsByColumn(dict[str, tuple[Question, ...]]):
    """The questions of each score column: the pairs whose scores are averaged, or a single text."""


Prompts: TypeAlias = str | Question | tuple[str, str] | Sequence[str | Question | Sequence[str]] | None
"""Values that a user may pass as prompts: see :func:`parse_prompts`."""

Aggregate = Literal["mean"] | None
CallAggregate = Aggregate | Literal["default"]
"""``aggregate`` of one call; ``'default'`` means the metric's own ``aggregate``."""

AskedQuestions = Sequence[tuple[Question, ...]]
"""What each score column asks: pairs, whose scores are averaged, or a single text."""

DEFAULT_PAIR = "quality"
DEFAULT_TEMPLATE = "{} photo."  # the paper's template (1), Sec. 4.1

_WORDS = {  # name -> words, positive first, of the pairs in the paper, https://arxiv.org/abs/2207.12396
    "quality": ("Good", "Bad"),  # Sec. 3.2
    "aesthetic": ("Aesthetic", "Not aesthetic"),  # official demo
    # Table 3
    "brightness": ("Bright", "Dark"),
    "noisiness": ("Clean", "Noisy"),  # as in the table: high means clean
    "colorfulness": ("Colorful", "Dull"),
    "sharpness": ("Sharp", "Blurry"),
    "contrast": ("High contrast", "Low contrast"),
    # Table 4
    "complex": ("Complex", "Simple"),
    "natural": ("Natural", "Synthetic"),
    "happy": ("Happy", "Sad"),
    "scary": ("Scary", "Peaceful"),
    "new": ("New", "Old"),
    # Table 6
    "warm": ("Warm", "Cold"),
    "real": ("Real", "Abstract"),
    "beautiful": ("Beautiful", "Ugly"),
    "lonely": ("Lonely", "Sociable"),
    "relaxing": ("Relaxing", "Stressful"),
}
ALIASES = {
    "colourfulness": "colorfulness",
    "colorfullness": "colorfulness",  # torchmetrics' spelling
    "complexity": "complex",  # torchmetrics' name
}


def named_pair(name: str, template: str | None = None) -> PromptPair:
    """Return one of the named pairs, in another wording than the paper's if there is a template."""
    positive, negative = _WORDS[name]
    wording = template or DEFAULT_TEMPLATE
    return PromptPair(name, wording.replace("{}", positive), wording.replace("{}", negative))


def free_pair(positive: str, negative: str) -> PromptPair:
    """Return the pair of a user's own texts."""
    return PromptPair(f"{positive}|{negative}", positive, negative)


NAMED_PAIRS = {name: named_pair(name) for name in _WORDS}
PRESETS = {
    "pyiqa": (  # the pairs that pyiqa's built-in CLIPIQA averages, in pyiqa's wording
        free_pair("Good image", "bad image"),
        free_pair("Sharp image", "blurry image"),
        free_pair("sharp edges", "blurry edges"),
        free_pair("High resolution image", "low resolution image"),
        free_pair("Noise-free image", "noisy image"),
    )
}


def parse_prompts(prompts: Prompts = None, template: str | None = None) -> tuple[Question, ...]:
    """Return the pairs and single texts that a user passes as ``prompts``, at least one.

    Args:
        prompts: A string names a pair or a preset. A tuple of two strings, or ``'positive|negative'``, is a free
            pair, and ``'single:text'`` a single text. A list holds several of these; in a list, a list of two strings
            is also a free pair. ``None`` is the paper's ``'quality'``.
        template: A wording, such as ``'A photo of {}.'`` (Sec. 4.1, Table 2); ``{}`` stands for the words of named
            pairs ('Good', 'Bad') and the texts of free pairs and of single texts.

    Raises:
        PromptError: A name is unknown, CLIP cannot read a text, both texts have the same tokens, or a type is wrong.
    """
    if template is not None:
        parts = template.split("{}") if isinstance(template, str) else []
        if len(parts) != 2 or any(brace in part for part in parts for brace in "{}"):
            raise PromptError(
                f"template must be a text with one {{}} and no other brace; got {shown(template)}.",
                options=("template",),
            )
    questions = [question for item in _items(prompts) for question in _parse_item(item, template)]
    for question in questions:
        _check_readable(question)
    return tuple(questions)


def parse_questions(prompts: Prompts | Mapping[str, Prompts] = None, template: str | None = None) -> QuestionsByColumn:
    """Return the questions of one score column per item of ``prompts`` (see :func:`parse_prompts`) or per name."""
    if isinstance(prompts, Mapping):
        _check_any(prompts)
        by_column = QuestionsByColumn({name: parse_prompts(pairs, template) for name, pairs in prompts.items()})
        for questions in by_column.values():
            check_averaged(questions)
        return by_column
    parsed = [(item, parse_prompts([item], template)) for item in _items(prompts)]
    names = [questions[0].name if len(questions) == 1 else _plain_name(item) for item, questions in parsed]
    check_names(names)
    return QuestionsByColumn({name: questions for name, (_, questions) in zip(names, parsed, strict=True)})


def is_single(prompt: str) -> bool:
    """Return whether a user's prompt is written as a single text."""
    return _PREFIX.match(prompt) is not None


def _items(prompts: Any) -> list[Any]:
    """Return what a user's prompts consist of: named pairs, presets, pairs of texts and single texts."""
    if prompts is None:
        return [DEFAULT_PAIR]
    is_list = isinstance(prompts, list) or (isinstance(prompts, tuple) and not _are_texts(prompts))
    if not is_list:
        return [prompts]
    _check_any(prompts)
    return list(prompts)


def _check_any(prompts: Any) -> None:
    if not prompts:
        raise PromptError("`prompts` are empty: pass at least one pair, such as ['quality'].", options=("prompts",))


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _parse_item(item: Any, template: str | None) -> Sequence[Question]:
    """Return the questions that an item of a user's prompts asks: several for a preset."""
    if isinstance(item, PromptPair | SingleText):
        return [item]
    if not isinstance(item, str):
        return [_pair_of_texts(item, template)]
    if "|" in item:
        return [_pair_of_texts(item.split("|"), template)]
    if is_single(item):
        return [SingleText(_worded(_PREFIX.sub("", item, count=1), template))]
    return _pairs_by_name(item, template)


def _pair_of_texts(texts: Any, template: str | None) -> PromptPair:
    """Return the free pair of a user's two texts; raise PromptError for anything else."""
    if not isinstance(texts, list | tuple) or len(texts) != 2 or not _are_texts(texts):
        raise PromptError(
            f"a prompt must be a name or a pair of two texts, as 'sharpness' or ('Crisp photo.', 'Hazy photo.'); got "
            f"{shown(texts)} ({type(texts).__name__})."
        )
    if any(map(is_single, texts)):
        raise PromptError(
            f"{PREFIX!r} takes one text, and a pair has two plain texts; got {shown(texts)}: leave out {PREFIX!r} to "
            "ask a pair, or pass a list of single texts."
        )
    if isinstance(texts, tuple) and set(texts) <= {*NAMED_PAIRS, *PRESETS, *ALIASES}:
        raise PromptError(
            f"{shown(texts)} names two pairs, but a tuple is one pair of texts: use a list, {shown(list(texts))}."
        )
    positive, negative = texts
    return free_pair(_worded(positive, template), _worded(negative, template))


def _worded(text: str, template: str | None) -> str:
    """Return a user's text in a wording; no words stay no words, which are refused."""
    words = " ".join(text.split())
    return template.replace("{}", words) if words and template else words


def _plain_name(name: str) -> str:
    """Return the name of a pair or a preset as it stands in our tables, however a user spells it."""
    plain = " ".join(name.lower().split())
    return ALIASES.get(plain, plain)


def _pairs_by_name(name: str, template: str | None) -> Sequence[PromptPair]:
    """Return a named pair, or the pairs of a preset."""
    key = _plain_name(name)
    if key in NAMED_PAIRS:
        return [named_pair(key, template)]
    if key not in PRESETS:
        _, colon, text = " ".join(name.split()).rpartition(":")
        if colon:
            hint = f"did you mean {PREFIX + text.strip()!r}, which asks a single text?"
        else:
            hint = (
                f"{hint_for(key, [*NAMED_PAIRS, *PRESETS])} Your own words are a pair, such as "
                f"'Crisp photo.|Hazy photo.', or a single text, {PREFIX + text!r}."
            )
        raise PromptError(f"unknown prompt {shown(name)}: {hint}")
    if template is not None:
        raise PromptError(f"the preset {key!r} has its own wording: pass it without a template.")
    return PRESETS[key]


def _check_readable(question: Question) -> None:
    """Raise PromptError for texts that CLIP cannot read, or not whole, or that are the same text to it."""
    for text in question.texts:
        count = len(_tokens(text)) + 2
        if count == 2:
            raise PromptError(f"CLIP reads nothing in {shown(text)}, a text of {question.name!r}: it needs words.")
        if count > TEXT_LENGTH:
            raise PromptError(
                f"the prompt {shown(text)} has {count} tokens with its start and end marks, but CLIP reads "
                f"{TEXT_LENGTH}: shorten it."
            )
    if isinstance(question, PromptPair) and _tokens(question.positive) == _tokens(question.negative):
        raise PromptError(
            f"CLIP reads both texts of the pair as the same text ({shown(question.positive)}, "
            f"{shown(question.negative)}): pass a text and its antonym."
        )


@lru_cache(maxsize=4096)
def _tokens(text: str) -> tuple[int, ...]:
    """Return a text's tokens, without start and end marks."""
    return tuple(tokenizer().encode(text))


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


def asked_questions(
    prompts: Sequence[Question] | QuestionsByColumn, aggregate: CallAggregate, default: Aggregate
) -> AskedQuestions:
    """Return what each column asks; ``default`` is the ``aggregate`` of a metric whose call has none."""
    if isinstance(prompts, QuestionsByColumn):
        check_one_of("aggregate", aggregate, ("default", None))
        _check_any(prompts)
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


def check_local(asked: AskedQuestions | None, has_head: bool) -> None:
    """Raise PromptError for what cannot be asked of places; None asks learned prompts or the head."""
    if asked is None and has_head:
        raise PromptError("a fitted head scores whole images only: pass a pair of prompts for a map.")
    for questions in asked or ():
        only_pairs(questions, "a map")


def score_range(questions: Iterable[Question]) -> tuple[float, float]:
    """Return the lowest and the highest score of a column of pairs, or of a single text."""
    has_single = any(isinstance(question, SingleText) for question in questions)
    return COSINE_RANGE if has_single else (0.0, 1.0)


def question_record(questions: Sequence[Question]) -> dict[str, Any]:
    """Return the record of a column of prompt pairs, or of a single text, for the provenance of its scores."""
    texts = [list(question.texts) for question in questions]
    return {"range": list(score_range(questions)), "lower_better": False, "questions": texts}


def column_records(questions: Mapping[str, Sequence[Question]]) -> dict[str, dict[str, Any]]:
    """Return each column's record for ``scores`` of provenance."""
    return {name: question_record(pairs) for name, pairs in questions.items()}
