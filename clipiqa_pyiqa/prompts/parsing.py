"""Prompts as users pass them: parsed into pairs and single texts that CLIP can read."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..clip.tokenizer import tokenizer
from ..errors import PromptError
from ..text import hint_for, shown
from .named_pairs import ALIASES, DEFAULT_PAIR, NAMED_PAIRS, PRESETS, named_pair
from .pairs import (
    PromptPair,
    Prompts,
    Question,
    QuestionsByColumn,
    check_averaged,
    check_names,
    free_pair,
)
from .single import PREFIX, SingleText, is_single, words_of_single

TEXT_LENGTH = 77  # tokens that CLIP's text tower reads, its start and end marks included


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
        _check_template(template)
    return tuple(_checked(question) for item in _items(prompts) for question in _parse_item(item, template))


def _check_template(template: Any) -> None:
    parts = template.split("{}") if isinstance(template, str) else []
    if len(parts) != 2 or any(brace in part for part in parts for brace in "{}"):
        raise PromptError(
            f"template must be a text with one {{}} and no other brace; got {shown(template)}.",
            options=("template",),
        )


def parse_questions(prompts: Prompts | Mapping[str, Prompts] = None, template: str | None = None) -> QuestionsByColumn:
    """Return the questions of one score column per item of ``prompts`` (see :func:`parse_prompts`) or per name."""
    if isinstance(prompts, Mapping):
        by_column = QuestionsByColumn({name: parse_prompts(pairs, template) for name, pairs in prompts.items()})
        for questions in by_column.values():
            check_averaged(questions)
    else:
        parsed = [(item, parse_prompts([item], template)) for item in _items(prompts)]
        names = [questions[0].name if len(questions) == 1 else _plain_name(item) for item, questions in parsed]
        check_names(names)
        by_column = QuestionsByColumn({name: questions for name, (_, questions) in zip(names, parsed, strict=True)})
    if not by_column:
        raise PromptError("there are no columns: pass at least one, such as ['quality'].")
    return by_column


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _items(prompts: Any) -> list[Any]:
    """Return what a user's prompts consist of: named pairs, presets, pairs of texts and single texts."""
    if prompts is None:
        return [DEFAULT_PAIR]
    if not isinstance(prompts, list | tuple) or (isinstance(prompts, tuple) and _are_texts(prompts)):
        return [prompts]
    if not prompts:
        raise PromptError("the list of prompts is empty: pass at least one pair, such as ['quality'].")
    return list(prompts)


def _parse_item(item: Any, template: str | None) -> Iterable[Question]:
    """Return the questions that an item of a user's prompts asks: several for a preset."""
    if isinstance(item, PromptPair | SingleText):
        return [item]
    if not isinstance(item, str):
        return [_pair_of_texts(item, template)]
    if not item.strip():
        raise PromptError("a prompt is empty: name a pair, such as 'sharpness', or write 'Crisp photo.|Hazy photo.'.")
    if is_single(item):
        return [_single(item, template)]
    if "|" in item:
        return [_pair_of_texts(item.split("|"), template)]
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
            f"a pair has two plain texts; got {shown(texts)}: leave out {PREFIX!r}, or pass a list of single texts."
        )
    if isinstance(texts, tuple) and set(texts) <= {*NAMED_PAIRS, *PRESETS, *ALIASES}:
        raise PromptError(
            f"{shown(texts)} names two pairs, but a tuple is one pair of texts: use a list, {shown(list(texts))}."
        )
    positive, negative = texts
    return free_pair(_worded(positive, template), _worded(negative, template))


def _worded(text: str, template: str | None) -> str:
    """Return a text of a free pair in a wording; no words stay no words, which are refused."""
    words = " ".join(text.split())
    return template.replace("{}", words) if words and template else words


def _single(prompt: str, template: str | None) -> SingleText:
    text = words_of_single(prompt)
    if "|" in text:
        raise PromptError(f"{PREFIX!r} takes one text; got {shown(prompt)}: leave out {PREFIX!r} to ask a pair.")
    return SingleText(_worded(text, template))


def _plain_name(name: str) -> str:
    """Return the name of a pair or a preset as it stands in our tables, however a user spells it."""
    plain = " ".join(name.lower().split())
    return ALIASES.get(plain, plain)


def _pairs_by_name(name: str, template: str | None) -> Sequence[PromptPair]:
    """Return a named pair, or the pairs of a preset."""
    key = _plain_name(name)
    if key in NAMED_PAIRS:
        return [named_pair(key, template)]
    if key not in PRESETS and ":" in key:
        text = " ".join(name.partition(":")[2].split())
        raise PromptError(f"unknown prompt {shown(name)}: did you mean {PREFIX + text!r}, which asks a single text?")
    if key not in PRESETS:
        raise PromptError(
            f"unknown prompt pair {shown(name)}: {hint_for(key, [*NAMED_PAIRS, *PRESETS])} Your own words are a "
            f"pair, such as 'Crisp photo.|Hazy photo.', or a single text, {PREFIX + ' '.join(name.split())!r}."
        )
    if template is not None:
        raise PromptError(f"the preset {key!r} has its own wording: pass it without a template.")
    return PRESETS[key]


def _checked(question: Question) -> Question:
    """Return a question that CLIP can read; raise PromptError for another."""
    for text in question.texts:
        _check_text(text, isinstance(question, SingleText))
    if isinstance(question, PromptPair) and _tokens(question.positive) == _tokens(question.negative):
        raise PromptError(
            f"CLIP reads both texts of the pair as the same text ({shown(question.positive)}, "
            f"{shown(question.negative)}): pass a text and its antonym."
        )
    return question


def _check_text(text: str, is_alone: bool) -> None:
    """Raise PromptError for a text that CLIP cannot read, or not whole."""
    if not _tokens(text):
        needed = (
            f"{PREFIX!r} needs a text with words in it" if is_alone else "a pair needs two texts with words in them"
        )
        raise PromptError(f"CLIP reads nothing in {shown(text)}: {needed}.")
    count = len(_tokens(text)) + 2
    if count > TEXT_LENGTH:
        raise PromptError(
            f"the prompt {shown(text)} has {count} tokens with its start and end marks, but CLIP reads "
            f"{TEXT_LENGTH}: shorten it."
        )


@lru_cache(maxsize=4096)
def _tokens(text: str) -> tuple[int, ...]:
    """Return a text's tokens, without start and end marks."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PromptError(f"the prompt {shown(text)} is not valid Unicode text: check its encoding.") from None
    return tuple(tokenizer().encode(text))
