"""``--config FILE``: a command's options from a YAML file, as if they stood before those that are given beside it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import CLIPIQAError

_NOT_IN_A_FILE = ("help", "config_file", "resume", "overwrite")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Declare the option; :func:`with_config` makes it work."""
    parser.add_argument(
        *("-c", "--config"), dest="config_file", action="append", metavar="FILE",
        help="a YAML file of these options (configs/figures), as in max_side: 512; options given here change it",
    )  # fmt: skip
    parser.set_defaults(config_parser=parser)


def with_config(argv: Sequence[str], args: argparse.Namespace) -> list[str]:
    """The command line with the options of the files in it: a later file wins over an earlier one, ``argv`` over all.

    Raises:
        CLIPIQAError: a file is missing, no YAML, or has keys or kinds of values that the command's options have not.
    """
    from ...comparison.specification import read_mapping

    actions = args.config_parser._actions
    known = {action.dest: action for action in actions if action.option_strings and action.dest not in _NOT_IN_A_FILE}
    told: dict[str, list[str]] = {}
    for path in args.config_file:
        for name, value in read_mapping(path, known).items():
            told[name] = list(_words(known[name], value, f"{name} in {path!r}"))
    if getattr(args, "prompts", None):  # given beside it: they replace those of the file, and do not add to them
        told.pop("prompts", None)
    # A list of values ends at the next option, and would take in what follows; so there is one.
    return [argv[0], *(word for words in told.values() for word in words), f"--config={args.config_file[0]}", *argv[1:]]


def _words(action: argparse.Action, value: Any, what: str) -> Iterator[str]:
    """The value as it would be typed; argparse judges it further."""
    option = "--" + action.dest.replace("_", "-")
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise CLIPIQAError(f"{what} must be true or false, but is {value!r:.80}.")
        if value:
            yield option
        elif (negative := option.replace("--", "--no-", 1)) in action.option_strings:
            yield negative
    elif action.nargs == "+":
        values = [_text(entry, action.dest) for entry in (value if isinstance(value, list) else [value])]
        if None in values or not values:
            raise CLIPIQAError(f"{what} must be a value or a list of values, but is {value!r:.80}.")
        if action.dest == "prompts":  # they add up, and may begin with a '-'
            yield from (f"{option}={text}" for text in values)
        else:
            yield from (option, *filter(None, values))
    else:
        text = _text(value, action.dest)
        if text is None:
            raise CLIPIQAError(f"{what} must be one value, but is {value!r:.80}.")
        yield f"{option}={os.path.expanduser(text)}"  # as a shell would


def _text(value: Any, name: str) -> str | None:
    """A value as text, or None for what is no single value; of prompts, two texts in a list are a pair."""
    if name == "prompts" and isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
        return "|".join(value)
    return None if value is None or isinstance(value, bool | list | dict) else str(value)
