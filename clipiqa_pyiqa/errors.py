"""Exceptions for users, each of one sentence."""

from __future__ import annotations

from enum import StrEnum


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
    NOT_IN_FILE = "not in file"  # only another tool's score is missing
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
