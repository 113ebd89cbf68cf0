"""Exceptions and warnings for users; their messages are short sentences."""

from __future__ import annotations

import re
import sys
import textwrap
import warnings
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import FrameType


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

    With a ``name``, the reason is a clause that follows it, without a full stop: ``'is not an image'``. Without a name,
    the reason is the whole message.

    Attributes:
        reason: What is wrong and what to do, without ``name``.
        kind: The kind of problem that an input has.
        name: The input with the problem, such as a file; an empty text if the problem is in no input.
        options: Parameters that the reason names and that are to be changed; a command spells them as flags.
    """

    def __init__(
        self, reason: str = "", kind: Kind = Kind.OTHER, name: str = "", *, options: tuple[str, ...] = ()
    ) -> None:
        self.reason, self.kind, self.name, self.options = reason, kind, name, options
        super().__init__(f"{name!r} {reason}." if name else reason)

    @property
    def option(self) -> str:
        """The first of the options; an empty text if there is none."""
        return next(iter(self.options), "")

    def text(self, flags: Mapping[str, str]) -> str:
        """Return the message with parameters spelled as their flags; those without a flag keep their names.

        Where a sentence has a parameter in backticks, the same word elsewhere in it is an ordinary word.
        """
        sentence = str(self)
        for option in flags.keys() & set(self.options):
            quoted = f"`{option}`"
            bare = rf"(?<![\w/.'-]){option}(?![\w/'-]|\.\w)"  # not a part of a path or of a quoted value
            pattern = quoted if quoted in sentence else bare
            sentence = re.sub(pattern, flags[option].replace("\\", r"\\"), sentence)
        return sentence


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


def describe_error(error: BaseException, spelled: Mapping[str, str] | None = None) -> str:
    """Return an error in a clause; ``spelled`` is how options are written, if not as in Python."""
    if isinstance(error, CLIPIQAError):
        return error.text(spelled or {}).partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {textwrap.shorten(str(error), 300, placeholder='…')}".rstrip(": .")


def warn_caller(message: str) -> None:
    """Warn at the innermost line outside of this package and of torch, through which modules are called."""
    own_files = [__file__, getattr(sys.modules.get("torch"), "__file__", None) or __file__]
    folders = tuple(f"{Path(file).parent.as_posix()}/" for file in own_files)
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and Path(frame.f_code.co_filename).as_posix().startswith(folders):
        frame = frame.f_back
        level += 1
    warnings.warn(message, stacklevel=level)
