"""A command's parser, made of the signature and the docstring of the function that does the command.

A parameter before the ``*`` is an argument, one behind it an option. A parameter whose type is a dataclass stands for
the options in its fields, which have a group of their own in the help. A type says what an option takes: ``bool`` is a
flag (of the default True: ``--no-NAME``), ``bool | None`` a pair of flags, ``list`` several values, ``Literal`` one of
its values. Help comes from ``Args:`` in the docstring, ``name (-n --other METAVAR): help``: what is in brackets is for
the command line alone. The same options can stand in a YAML file.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from ...errors import ConfigError, OptionError
from ...errors.arguments import check_bounds, check_path, documentation
from ...files.names import plain_lines

FILES = ("FILE", "PATH", "PHOTO", "IMAGE", "CSV", "BASE", "NEW", "LIST", "DATA", "VOTES")  # what help calls them
FOLDERS = ("DIR", "FOLDER", "LOW", "HIGH")
OF_A_METRIC = ("backbone", "prompts", "clip_weights", "pos_embedding", "precision", "template", "quick_gelu")
_NOT_IN_A_FILE = ("resume", "overwrite", "config_file")
_METAVARS = {int: "N", float: "X", str: "NAME", Path: "FILE"}
_LISTS = (list, Sequence)
_LARGEST = 1_000_000_000  # of numbers that need not be whole


class Parser(argparse.ArgumentParser):
    """A parser that knows which options may stand in a file.

    Attributes:
        options: Name of an option, as it stands in a file -> how it was declared.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.options: dict[str, argparse.Action] = {}
        self._groups: dict[str, Any] = {}
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, **kwargs})

    def declare(self, function: Callable[..., Any]) -> None:
        """Declare the options of a function."""
        self.description, self.epilog, told = documentation(function)
        hints = typing.get_type_hints(function)
        for name, parameter in inspect.signature(function).parameters.items():
            if dataclasses.is_dataclass(hints[name]):
                self._declare_group(hints[name])
            else:
                is_argument = parameter.kind is not parameter.KEYWORD_ONLY
                self._declare(self, name, hints[name], parameter.default, told[name], is_argument)
        if "--config" not in self._option_string_actions:
            self.add_argument(
                *("-c", "--config"),
                dest="config_file",
                action="append",
                metavar="FILE",
                help="a YAML file of these options, as in max_side: 512, or fig1 and so on; options given here win",
            )

    def _declare_group(self, options: type) -> None:
        hints = typing.get_type_hints(options)
        for one in reversed(options.__mro__):
            if own := inspect.get_annotations(one):
                title, _, told = documentation(one)
                group = self._groups.get(title) or self.add_argument_group(title.rstrip("."))
                self._groups[title] = group
                for name in own:
                    self._declare(group, name, hints[name], getattr(one, name), told[name], False)

    def _declare(
        self, group: Any, name: str, hint: Any, default: Any, told: tuple[list[str], str], is_argument: bool
    ) -> None:
        spec, said = told
        required = default is inspect.Parameter.empty
        is_optional, kind = _kind(hint)
        negated = kind is bool and default is True and not is_optional
        said = f"do not {said}" if negated else said
        options: dict[str, Any] = {"help": said.replace("%", "%%"), "default": None if required else default}
        long = f"--{'no-' * negated}{name.removeprefix('apply_').replace('_', '-')}"
        flags = sorted((word for word in spec if word.startswith("-")), key=len)
        flags += [long] * (not any(flag.startswith("--") for flag in flags))
        metavars = [word for word in spec if not word.startswith("-")]
        inner = typing.get_args(kind)[0] if typing.get_origin(kind) in (*_LISTS, tuple) else kind
        if kind is bool:
            action: Any = f"store_{str(not default).lower()}"
            options["action"] = argparse.BooleanOptionalAction if is_optional else action
        elif typing.get_origin(inner) is Literal:
            options["choices"] = typing.get_args(inner)
            options["type"] = type(options["choices"][0])
        else:
            options |= {"type": inner, "metavar": metavars[0] if metavars else _METAVARS[inner]}
        if typing.get_origin(kind) is tuple:
            options |= {"nargs": len(typing.get_args(kind)), "metavar": tuple(metavars)}
        elif typing.get_origin(kind) in _LISTS:
            is_empty_allowed = metavars[:1] == ["[NAME]"] or (is_argument and not required)
            options["nargs"] = "*" if is_empty_allowed else "+"
            options |= {} if is_argument else {"action": _Extend}
        elif is_argument and not required:
            options["nargs"] = "?"
        if default not in (inspect.Parameter.empty, None, "", ()) and not isinstance(default, bool):
            options["help"] += f" (default: {' '.join(map(str, default)) if isinstance(default, tuple) else default})"
        if is_argument:
            group.add_argument(name, **options)
        else:
            made = group.add_argument(*flags, dest=name, required=required, **options)
            if name not in _NOT_IN_A_FILE:
                self.options[flags[-1].removeprefix("--").replace("-", "_")] = made

    def error(self, message: str) -> NoReturn:
        super().error(plain_lines(message, 500))

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.option_strings and action.nargs is None and arg_strings == ["--"]:  # of which argparse makes a list
            raise argparse.ArgumentError(action, "expected one argument")
        return super()._get_values(action, arg_strings)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """Return the value of a word; a leading ``~`` in what names files is expanded."""
        if action.type is Path or set(re.split(r"\W", str(action.metavar))) & {*FILES, *FOLDERS}:
            arg_string = os.path.expanduser(arg_string)
        if action.type is Path:
            check_path(action.dest, arg_string)
        value = super()._get_value(action, arg_string)
        if action.type is int:
            check_bounds(action.dest, value)
        if action.type is float and not abs(value) <= _LARGEST:  # nor NaN
            raise OptionError(f"{action.dest} must be a number of at most ±{_LARGEST:,}; got {arg_string!r}.")
        return value

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """End with a sentence about arguments that this command does not have."""
        flag, _, value = unknown[0].partition("=")
        value = value or next((word for word in unknown[1:2] if not word.startswith("-")), "…")
        said = f"unrecognized arguments: {' '.join(unknown)}"
        key = "backbone" if flag == "-b" else flag.removeprefix("--").replace("-", "_")
        known = [name for name in self._option_string_actions if name.startswith("--")]
        if key in OF_A_METRIC and "metrics" in self.options:
            said += f": options of a metric belong into its name, as in -m clipiqa:{key}={value}"
        elif flag.startswith("--") and (close := difflib.get_close_matches(flag, known, n=1)):
            said += f": did you mean {close[0]}?"
        self.error(said)

    def take_defaults(self, files: Sequence[str]) -> None:
        """Make what YAML files say the defaults; a later file wins over an earlier one.

        Raises:
            ConfigError: A file is missing, no YAML, or has keys or kinds of values that the options have not.
        """
        from ...files.yaml import read_mapping

        for path in files:
            for name, value in read_mapping(path, self.options).items():
                option = self.options[name]
                self.set_defaults(**{option.dest: self._converted(option, value, f"{name} in {path!r}")})

    def _converted(self, option: argparse.Action, value: Any, what: str) -> Any:
        """Return the value as if it had been typed."""
        if option.nargs == 0:
            if not isinstance(value, bool):
                raise ConfigError(f"{what} must be true or false; got {value!r:.80}.")
            return value is not isinstance(option, argparse._StoreFalseAction)
        several = option.nargs is not None
        texts = [_text(entry, option.dest) for entry in (value if several and isinstance(value, list) else [value])]
        count = option.nargs if isinstance(option.nargs, int) else len(texts)
        if None in texts or not texts or len(texts) != count:
            wanted = (
                f"a list of {count} values" if isinstance(option.nargs, int) else "values" if several else "a value"
            )
            raise ConfigError(f"{what} must be {wanted}; got {value!r:.80}.")
        try:
            values = [self._get_value(option, str(text)) for text in texts]
            for each in values:
                self._check_value(option, each)
        except OptionError as error:
            raise ConfigError(f"{what}: {error}") from error
        except argparse.ArgumentError as error:
            raise ConfigError(f"{what}: {error.message}.") from error
        return values if several else values[0]


def call(function: Callable[..., int], given: argparse.Namespace) -> int:
    """Call a function with what was parsed for it."""
    values, arguments = vars(given), {}
    for name, hint in typing.get_type_hints(function).items():
        if dataclasses.is_dataclass(hint):
            arguments[name] = hint(**{field.name: values[field.name] for field in dataclasses.fields(hint)})  # type: ignore[operator]
        elif name != "return":
            arguments[name] = values[name]
    return function(**arguments)


class _Extend(argparse.Action):
    """Values add up where an option is given again; the first ones replace the default."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        earlier = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*([] if earlier is parser.get_default(self.dest) else earlier), *values])


def _kind(hint: Any) -> tuple[bool, Any]:
    """Return whether a hint allows None, and what it is besides."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        kinds = [each for each in typing.get_args(hint) if each is not type(None)]
        return len(kinds) < len(typing.get_args(hint)), kinds[0]
    return False, hint


def _text(value: Any, name: str) -> str | None:
    """Return a value as text, or None for what is no single value; of prompts, two texts in a list are a pair."""
    if name == "prompts" and isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
        return "|".join(value)
    return None if value is None or isinstance(value, bool | list | dict) else str(value)
