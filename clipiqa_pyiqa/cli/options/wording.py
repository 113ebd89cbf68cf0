"""Messages of functions in the words of a command line: its options, and not Python's arguments.

Functions are called from Python and from commands, and their messages name both where that helps: an option with the
argument in brackets behind it, ``--skip-missing (skip_missing=True)``, or the argument with the option in brackets.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from functools import cache

from ...files.names import plain_lines
from .config import Parser

_VALUE = r"(?:'[^']*'|[\w./+…-]+)?"
_OPTION_FIRST = re.compile(r"(--[a-z][a-z-]*(?: [A-Z]+)?) \([a-zA-Z_][\w.]* ?=[^()]*\)")
_OPTION_LAST = re.compile(rf"\b[a-zA-Z_][\w.]* ?= ?{_VALUE} \((-[^()]*)\)")
_QUOTED = r"""(?<![\w=])(?:'[^']*'|"[^"]*")"""  # a name of a file, say, which stays as it is
_ALONE = re.compile(rf"{_QUOTED}|(?<![\w/.:,'\"=-])([a-z_]+)=({_VALUE})")
_FIRST = re.compile(r"^([a-z]+(?:_[a-z]+)*) (?=must be |names )")
_CALLED = {"pretrained_model_path": "learned_prompts"}  # argument -> what its option is called


def in_options(text: str, command: str) -> str:
    """A message with the options of a command in place of Python's arguments.

    >>> in_options("quick_gelu=True contradicts it: leave it out, or pass --overwrite (overwrite=True).", "score")
    '--quick-gelu contradicts it: leave it out, or pass --overwrite.'
    >>> in_options("'at 9 device=cpu.jpg' cannot be read.", "score")
    "'at 9 device=cpu.jpg' cannot be read."
    """
    text = _OPTION_LAST.sub(r"\1", _OPTION_FIRST.sub(r"\1", text))
    options = _options(command)

    def spelled(match: re.Match[str]) -> str:
        action = options.get(_CALLED.get(match[1], match[1])) if match[1] else None
        if action is None:
            return match[0]
        flag, value = action.option_strings[-1], match[2]
        if isinstance(action, argparse.BooleanOptionalAction):
            flag = next(name for name in action.option_strings if name.startswith("--no-") == (value == "False"))
        elif action.nargs != 0 and value:
            plain = value.strip("'")
            return f"{flag} {plain if re.fullmatch(_VALUE, plain) else value}"
        return flag

    def named(match: re.Match[str]) -> str:
        return f"{options[match[1]].option_strings[-1]} " if match[1] in options else match[0]

    return _FIRST.sub(named, _ALONE.sub(spelled, text))


def tell(command: str, text: str) -> None:
    """A line on standard error about how a command gets on."""
    print(f"clipiqa {command}: {plain_lines(in_options(text, command))}", file=sys.stderr)


@contextlib.contextmanager
def logged(command: str) -> Iterator[None]:
    """Show what functions log, on standard error, as lines of the command."""

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"clipiqa {command}: {plain_lines(in_options(super().format(record), command))}"

    handler, logger = logging.StreamHandler(sys.stderr), logging.getLogger("clipiqa_pyiqa")
    handler.setFormatter(Lines())
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@cache
def _options(command: str) -> dict[str, argparse.Action]:
    """What Python calls them -> options."""
    from .. import COMMANDS, command_module

    if command not in COMMANDS:
        return {}
    parser = Parser(prog=command)
    command_module(command).configure(parser)
    return {name: action for name, action in parser.options.items() if action.help != argparse.SUPPRESS}
