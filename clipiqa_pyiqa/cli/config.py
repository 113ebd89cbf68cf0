"""``--config FILE``: a command's options from a YAML file, as if they stood before those that are given beside it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import CLIPIQAError

_NOT_IN_A_FILE = ("command", "version", "config_file", "resume", "overwrite", "paths", "low", "high", "votes")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Declare the option; :func:`with_config` makes it work."""
    parser.add_argument(
        *("-c", "--config"), dest="config_file", metavar="FILE",
        help="a YAML file of these options (configs/figures), as in max_side: 512; options given here change it",
    )  # fmt: skip


def with_config(argv: Sequence[str], args: argparse.Namespace) -> list[str]:
    """The command line with the options of the file in it; those of ``argv`` come later, and so win.

    Raises:
        CLIPIQAError: the file is missing, no YAML, or has keys that are no options of the command.
    """
    from ..evaluate.requests import read_mapping

    known = [name for name in vars(args) if name not in _NOT_IN_A_FILE]
    options = read_mapping(args.config_file, known)
    if getattr(args, "prompts", None):  # given beside it: they replace those of the file, and do not add to them
        options.pop("prompts", None)
    for name, value in options.items():
        if isinstance(value, dict):
            raise CLIPIQAError(f"{name} in {args.config_file!r} must be a value or a list, but is {value!r:.80}.")
    told = [word for name, value in options.items() for word in _words(name, value, vars(args)[name])]
    # A list of values ends at the next option, and would take in what follows; so there is one.
    return [argv[0], *told, "--config", args.config_file, *argv[1:]]


def _words(name: str, value: Any, otherwise: Any) -> Iterator[str]:
    option = "--" + name.replace("_", "-")
    if value is True:
        yield option
    elif value is False:
        if otherwise is None:  # neither way by default
            yield option.replace("--", "--no-", 1)
    elif isinstance(value, list):
        yield from (option, *map(str, value))
    else:
        yield f"{option}={value}"
