"""Sentences about command lines that cyclopts refuses."""

from collections.abc import Sequence

from cyclopts import CycloptsError, MissingArgumentError, RepeatArgumentError, UnusedCliTokensError, ValidationError
from cyclopts.argument import Argument

from ...text import shown

LONGEST = 600  # characters: a value may be absurdly long


def refusal(error: CycloptsError) -> str:
    """Return one sentence about what is wrong with a command line."""
    argument = error.argument
    if isinstance(error, UnusedCliTokensError):
        sentence = _unused(error.unused_tokens or ())
    elif isinstance(error, RepeatArgumentError):
        sentence = f"{error.token.keyword} is given more than once: leave one out."
    elif argument is None:
        sentence = str(error)
    elif isinstance(error, MissingArgumentError):
        sentence = _missing(argument, error.keyword)
    elif isinstance(error, ValidationError):
        sentence = f"{_typed_name(argument)} {error.exception_message}."
    else:
        sentence = str(error)
    line = " ".join(sentence.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} …"


def _missing(argument: Argument, flag: str | None) -> str:
    """Return the sentence about an argument that is not there, or about an option without its value."""
    if flag is None:
        name = argument.name if argument.name.startswith("-") else argument.parameter.metavar
        return f"{name} is missing."
    values = argument.parameter.metavar or "a value"
    return f"{flag} needs {values}."


def _unused(words: Sequence[str]) -> str:
    """Return the sentence about words that are neither options nor arguments."""
    return f"unexpected: {', '.join(map(shown, words))}; leave it out, or write its option before it."


def _typed_name(argument: Argument) -> str:
    """Return how the user named an option: its flag, or its name in a file of options."""
    named = [token.keyword for token in argument.tokens if token.keyword]
    return named[0] if named else argument.name
