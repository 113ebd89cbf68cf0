"""The errors a user can meet. Each message is one sentence: what came, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from functools import partial


class Kind(str, Enum):
    """What is wrong with an input; each is a text, as it stands in the column ``kind`` of results."""

    MISSING = "missing"
    EMPTY = "empty"
    NOT_A_FILE = "not a file"
    NOT_AN_IMAGE = "not an image"
    DAMAGED = "damaged"
    DAMAGED_ARCHIVE = "damaged archive"
    OUTSIDE = "path outside"
    TOO_SMALL = "too small"
    TOO_LARGE = "too large"
    OUT_OF_MEMORY = "out of memory"
    UNCLEAR_SCALE = "unclear scale"
    NOT_FINITE = "not finite"
    UNREADABLE = "unreadable"
    STALLED = "stalled"
    OTHER = "other"

    def __str__(self) -> str:
        return self.value


class CLIPIQAError(ValueError):
    """Base of every error that this package raises on bad input.

    It is a ``ValueError``, so that ``except ValueError`` catches them all.

    Args:
        reason: What is wrong and what to do: a sentence, or of an input with a ``name`` what follows that name.
        kind: What is wrong with the input, for code.
        name: The input: a file, a member of an archive. The message is made of it and the reason.

    Attributes:
        reason, kind, name: As given.
    """

    def __init__(self, reason: str = "", kind: Kind = Kind.OTHER, name: str = "") -> None:
        super().__init__(f"{name!r} {reason}." if name else reason)
        self.reason, self.kind, self.name = reason, kind, name


class PromptError(CLIPIQAError):
    """A prompt, a named pair or a template that cannot be used."""


class ImageError(CLIPIQAError):
    """An image file or an image tensor that cannot be scored."""


class WeightsError(CLIPIQAError):
    """A checkpoint that cannot be found, trusted or used."""


class OutputError(CLIPIQAError, OSError):
    """A file that cannot be written, or must not be replaced. An ``OSError``, too, for those who catch that."""


class ConfigError(CLIPIQAError):
    """A configuration file that cannot be read or followed."""


class OptionError(CLIPIQAError, TypeError):
    """An argument of a wrong kind. A ``TypeError``, too, for those who catch that."""


def shown(value: object, limit: int = 80) -> str:
    """A value as a message quotes it: its repr on one line, cut to a readable length."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def first_of(messages: Iterable[str]) -> str:
    """The first of one or more messages and how many more there are, as the beginning of a sentence."""
    first, *others = messages
    return first.rstrip(".") + (f" (and {len(others)} more like it)" if others else "")


def counted(count: int, what: str) -> str:
    """``'1 image'``, ``'2 images'``."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one of which it is a slip, or some like it, or else all."""
    import difflib  # where it is needed: this module is imported with the package, which must not take long

    known = list(known)
    lower = {entry.lower(): entry for entry in known}
    close = partial(difflib.get_close_matches, name.lower(), lower)
    found = [lower[entry] for entry in close(n=1, cutoff=0.92) or close(n=3, cutoff=0.5)]
    return f"did you mean {' or '.join(map(repr, found))}?" if found else f"known are {', '.join(known)}."


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether Python or torch ran out of memory; torch's CPU allocator says so only in words."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in str(error) for w in words))
