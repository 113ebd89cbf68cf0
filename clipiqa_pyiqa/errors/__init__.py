"""Errors for users; each message is one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from unicodedata import is_normalized

BUILTIN_VARIABLE = "CLIPIQA_PYIQA_BUILTIN"


class Kind(StrEnum):
    """The kind of problem that an input has."""

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
    NOT_ASKED = "not asked"  # by the run that wrote the row, or not since the image has changed
    OTHER = "other"


class CLIPIQAError(ValueError):
    """Base of all errors that this package raises on bad input.

    Attributes:
        reason: What is wrong and what to do, without ``name``.
        name: The input with the problem, such as a file.
    """

    def __init__(self, reason: str = "", kind: Kind = Kind.OTHER, name: str = "") -> None:
        super().__init__(f"{name!r} {reason}." if name else reason)
        self.reason, self.kind, self.name = reason, kind, name


class PromptError(CLIPIQAError):
    """A prompt or a template cannot be used."""


class ImageError(CLIPIQAError):
    """An image cannot be scored."""


class WeightsError(CLIPIQAError):
    """A checkpoint cannot be found, trusted or used."""


class OutputError(CLIPIQAError, OSError):
    """A file cannot be written, or must not be replaced."""


class ConfigError(CLIPIQAError):
    """A configuration file cannot be used."""


class OptionError(CLIPIQAError, TypeError):
    """An argument has a wrong type or value."""


def import_pyiqa(module: str = "") -> Any:
    """Return pyiqa, or a module of pyiqa; raise :class:`CLIPIQAError` if pyiqa is not installed."""
    if find_spec("pyiqa") is None:
        raise CLIPIQAError("this needs pyiqa, which is not installed: run `pip install pyiqa`.")
    return import_module(f"pyiqa{module}")


def keeps_pyiqas_classes() -> bool:
    """Return whether the user wants pyiqa's own classes instead of this package's."""
    return os.environ.get(BUILTIN_VARIABLE, "0") not in ("", "0")


def shown(value: object, limit: int = 80) -> str:
    """Return a value's repr on one line of at most ``limit`` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def first_of(messages: Iterable[str]) -> str:
    """Return the first message and the number of further messages."""
    first, *others = messages
    return first.rstrip(".") + (f" (and {len(others)} more like it)" if others else "")


def few(names: Iterable[str], most: int = 5) -> str:
    names = list(names)
    shown = (repr(name) if is_normalized("NFC", name) else ascii(name) for name in names[:most])  # é and é look alike
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message: the known names that are similar to ``name``, or all known names."""
    import difflib  # imported here, so that `import clipiqa_pyiqa` stays fast

    known = list(known)
    lower = {entry.lower(): entry for entry in known}
    found = [lower[entry] for entry in difflib.get_close_matches(name.lower(), lower)]
    return f"did you mean {' or '.join(map(repr, found))}?" if found else f"known names are {', '.join(known)}."


def is_out_of_memory(error: BaseException) -> bool:
    # torch's CPU allocator raises a plain RuntimeError
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in str(error) for w in words))


def reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__
