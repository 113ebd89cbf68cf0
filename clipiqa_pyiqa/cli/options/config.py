"""``--config FILE``: a command's options from a YAML file, as the defaults of those that are given beside it."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ...arguments import check_bounds, check_path
from ...errors import CLIPIQAError, OptionError
from ...files.names import plain_lines

_NOT_IN_A_FILE = ("help", "config_file", "resume", "overwrite")
_OF_A_METRIC = {  # option of a metric's own -> how other commands spell it
    **{"backbone": ("--backbone", "-b"), "prompts": ("--prompts", "-p"), "clip_weights": ("--clip-weights",)},
    **{"pos_embedding": ("--pos-embedding",), "precision": ("--precision",), "template": ("--template",)},
    **{"quick_gelu": ("--quick-gelu",), "pretrained_model_path": ("--learned-prompts",)},
}
_PATTERNS = ("PATH", "IMAGE", "PHOTO", "FILE|DIR", "LOW", "HIGH")  # or addresses, longer than names can be
_PATHS = (
    *(*_PATTERNS, "FILE", "DIR", "FOLDER", "LIST", "CSV|NAME", "FILE|TAG", "PATH|TAG", "FILE|NAME"),
    *("VOTES", "BASE", "NEW"),
)
_LARGEST = 1_000_000_000  # of numbers that need not be whole
_SHORT = {"--out": "-o", "--config": "-c", "--backbone": "-b", "--prompts": "-p", "--quiet": "-q"}


class Parser(argparse.ArgumentParser):
    """A parser that gives an option the same short name in every command, and remembers it for configuration files.

    Attributes:
        options: Name of an option, as it stands in a file -> how it was declared.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.options: dict[str, argparse.Action] = {}
        super().__init__(*args, **kwargs)

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        return self._declare(super().add_argument, *args, **kwargs)

    def add_argument_group(self, *args: Any, **kwargs: Any) -> Any:
        return self._remembering(super().add_argument_group(*args, **kwargs))

    def add_mutually_exclusive_group(self, **kwargs: Any) -> Any:
        return self._remembering(super().add_mutually_exclusive_group(**kwargs))

    def _remembering(self, group: Any) -> Any:
        declare = group.add_argument
        group.add_argument = lambda *args, **kwargs: self._declare(declare, *args, **kwargs)
        return group

    def _declare(self, declare: Callable[..., argparse.Action], *flags: str, **kwargs: Any) -> argparse.Action:
        short = [_SHORT[flag] for flag in flags if flag in _SHORT and _SHORT[flag] not in flags]
        action = declare(*short, *flags, **kwargs)
        former = action.help == argparse.SUPPRESS and action.dest in self.options  # a former name
        if action.option_strings and action.dest not in _NOT_IN_A_FILE and not former:
            self.options[action.dest] = action
        return action

    def error(self, message: str) -> NoReturn:
        super().error(plain_lines(message, 500))

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.option_strings and action.nargs is None and arg_strings == ["--"]:  # of which argparse makes a list
            raise argparse.ArgumentError(action, "expected one argument")
        return super()._get_values(action, arg_strings)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """The value of a word; a leading ``~`` in what names files is expanded, and what can name none is refused."""
        if action.type is Path or str(action.metavar) in _PATHS:
            if action.type is Path or str(action.metavar) not in _PATTERNS:
                check_path((action.option_strings or [action.dest])[-1], arg_string)
            arg_string = os.path.expanduser(arg_string)
        value = super()._get_value(action, arg_string)
        if action.type is int:
            check_bounds(action.dest, value)
        if action.type is float and not abs(value) <= _LARGEST:  # nor NaN
            raise argparse.ArgumentError(action, f"expected a number of at most ±{_LARGEST:,}, but {arg_string!r} came")
        return value

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """End with a sentence about arguments that this command does not have, and where they belong."""
        flag, _, value = unknown[0].partition("=")
        value = value or next((word for word in unknown[1:2] if not word.startswith("-")), "")
        said = f"unrecognized arguments: {' '.join(unknown)}"
        known = {name: dest for dest, names in _OF_A_METRIC.items() for name in names}
        if flag in known and "metrics" in self.options:
            key = known[flag]
            told = f"{key}={value}" if value else f"{key}=…"
            self.error(f"{said}: options of a metric belong into its name, as in -m clipiqa:{told}")
        if flag.startswith("--"):
            mine = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
            if close := difflib.get_close_matches(flag, mine, n=1):
                self.error(f"{said}: did you mean {close[0]}?")
        self.error(said)

    def take_defaults(self, args: argparse.Namespace) -> None:
        """Make what the files say the defaults; a later file wins over an earlier one, the command line over all.

        Args:
            args: The command line, parsed once to find the files.

        Raises:
            CLIPIQAError: A file is missing, no YAML, or has keys or kinds of values that the options have not.
        """
        from ...files.yaml import read_mapping

        for path in args.config_file:
            for name, value in read_mapping(path, self.options).items():
                # Prompts add up: those given beside the file replace the file's.
                if not (name == "prompts" and args.prompts):
                    self.set_defaults(**{name: self._converted(self.options[name], value, f"{name} in {path!r}")})

    def _converted(self, option: argparse.Action, value: Any, what: str) -> Any:
        """The value as if it had been typed."""
        if option.nargs == 0:
            if not isinstance(value, bool):
                raise CLIPIQAError(f"{what} must be true or false, but is {value!r:.80}.")
            return value
        if option.nargs in ("+", "*") or isinstance(option.nargs, int):
            texts = [_text(entry, option.dest) for entry in (value if isinstance(value, list) else [value])]
            if isinstance(option.nargs, int) and len(texts) != option.nargs:
                raise CLIPIQAError(f"{what} must be a list of {option.nargs} values, but is {value!r:.80}.")
            if None in texts or not texts:
                raise CLIPIQAError(f"{what} must be a value or a list of values, but is {value!r:.80}.")
            return [self._typed(option, text, what) for text in texts]
        if (text := _text(value, option.dest)) is None:
            raise CLIPIQAError(f"{what} must be one value, but is {value!r:.80}.")
        return self._typed(option, text, what)

    def _typed(self, option: argparse.Action, text: Any, what: str) -> Any:
        try:
            value = self._get_value(option, text)
            self._check_value(option, value)
            return value
        except OptionError as error:
            raise CLIPIQAError(f"{what}: {error}") from error
        except argparse.ArgumentError as error:
            self.error(f"{what}: {error.message}")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Declare the option; :meth:`Parser.take_defaults` makes it work."""
    parser.add_argument(
        *("-c", "--config"), dest="config_file", action="append", metavar="FILE",
        help="a YAML file of these options, as in max_side: 512, or fig1 and so on; options given here change it",
    )  # fmt: skip


def _text(value: Any, name: str) -> str | None:
    """A value as text, or None for what is no single value; of prompts, two texts in a list are a pair."""
    if name == "prompts" and isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
        return "|".join(value)
    return None if value is None or isinstance(value, bool | list | dict) else str(value)
