"""A command's parser, from the signature and docstring of its function.

Parameters before ``*`` are arguments, later parameters are options; a dataclass stands for its fields. ``Args:`` holds
the help, as ``name (-n METAVAR): help``.
"""

import argparse
import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from ....checks import check_bounds, check_path
from ....errors import ConfigError, OptionError, OutputError
from ....files.writing import NAMED
from .documentation import documentation
from .terminal import FLAGS

_OUTPUTS = ("out", "splits_out", "path", "videos", "page")
_NOT_IN_A_FILE = ("resume", "overwrite", "trust_weights")
_CONFIG = "a YAML file of options (such as max_side: 512), or a shipped file by name (fig1); the command line wins"
_METAVARS = {int: "N", float: "X", str: "NAME", Path: "FILE"}


class Parser(argparse.ArgumentParser):
    """A command's parser; a YAML file may also set its ``options``."""

    def __init__(self, **kwargs: Any) -> None:
        self.options: dict[str, argparse.Action] = {}
        kwargs |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "argument_default": argparse.SUPPRESS}
        super().__init__(allow_abbrev=False, **kwargs)

    def declare(self, function: Callable[..., Any]) -> None:
        FLAGS.clear()
        self.description, self.epilog, texts = documentation(function)
        hints = get_type_hints(function)
        for name, parameter in inspect.signature(function).parameters.items():
            if is_dataclass(hints[name]):
                self._declare_group(hints[name])
            else:
                is_argument = parameter.kind is not parameter.KEYWORD_ONLY
                self._declare(self, name, hints[name], parameter.default, *texts[name], is_argument)
        self.add_argument("-c", "--config", dest="config_file", action="append", metavar="FILE", help=_CONFIG)

    def _declare_group(self, options: Any) -> None:
        hints = get_type_hints(options)
        for kind in reversed(options.__mro__):
            if names := inspect.get_annotations(kind):
                title, _, texts = documentation(kind)
                group = self.add_argument_group(title.rstrip("."))
                for name in names:
                    self._declare(group, name, hints[name], getattr(kind, name), *texts[name])

    def _declare(
        self, group: Any, name: str, hint: Any, default: Any, words: list[str], text: str, is_argument: bool = False
    ) -> None:
        is_required = default is inspect.Parameter.empty
        is_open = is_argument and not is_required
        alternatives = get_args(hint)
        kind = alternatives[0] if type(None) in alternatives else hint
        is_list = get_origin(kind) in (list, Sequence)
        inner = get_args(kind)[0] if is_list else kind
        flags = [word for word in words if word.startswith("-")]
        metavars = [word for word in words if word not in flags] or [_METAVARS.get(inner, "")]
        flags.append("--" + name.removeprefix("apply_").removeprefix("score_").replace("_", "-"))
        if not is_required and str(default) not in ("None", "False", "()", ""):
            text += f" (default: {default})"
        options: dict[str, Any] = {"help": text.replace("%", "%%")}
        if kind is bool:
            options["action"] = "store_true" if default is False else argparse.BooleanOptionalAction
        elif get_origin(inner) is Literal:
            options["choices"] = get_args(inner)
            options["type"] = type(options["choices"][0])
        else:
            options |= {"type": inner, "metavar": tuple(metavars) if len(metavars) > 1 else metavars[0]}
        if len(metavars) > 1:
            options["nargs"] = len(metavars)
        elif is_list:
            may_be_empty = is_open or str(metavars[0]).startswith("[")
            options |= {"nargs": "*" if may_be_empty else "+", "action": "extend"}
        elif is_open:
            options["nargs"] = "?"
        if is_argument:
            group.add_argument(name, **options)
            return
        FLAGS[name] = flags[-1]
        made = group.add_argument(*flags, dest=name, required=is_required, **options)
        if name not in _NOT_IN_A_FILE:
            self.options[flags[-1].removeprefix("--").replace("-", "_")] = made

    def error(self, message: str) -> NoReturn:
        raise OptionError(message)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        value = super()._get_value(action, os.path.expanduser(arg_string))
        if action.type is Path:
            check_path(action.dest, arg_string)  # Path makes the working folder of an empty text
        if action.type is int:
            check_bounds(action.dest, value)
        if action.type is float and not abs(value) <= 1e9:  # also refuses NaN
            raise OptionError(f"{action.dest} must be a number of at most ±1,000,000,000; got {arg_string!r}.")
        return value

    def complete_paths(self) -> None:
        """Let shells complete texts by the names of files and folders."""
        import shtab

        for action in self._actions:
            if action.type in (str, Path) and not action.choices:
                action.complete = shtab.FILE  # type: ignore[attr-defined]

    def values_in(self, files: Sequence[str]) -> dict[str, Any]:
        """Return the values of options in YAML files; a later file wins."""
        found = {}
        for path in map(str, files):  # argparse makes a list of "--config=--"
            from ...files.yaml import read_mapping  # imports yaml

            for name, value in read_mapping(path, self.options).items():
                option = self.options[name]
                found[option.dest] = self._converted(option, value, f"{name} in {path!r}")
        return found

    def _converted(self, option: argparse.Action, value: Any, what: str) -> Any:
        if option.nargs == 0:
            if not isinstance(value, bool):
                raise ConfigError(f"{what} must be true or false; got {value!r:.80}.")
            return value
        if option.dest in ("metrics", "data") and isinstance(value, dict):  # labels -> options, as in Python
            return value
        is_list = option.nargs is not None
        entries = value if is_list and isinstance(value, list) else [value]
        if is_list and isinstance(value, dict):
            entries = [None if _text(each) is None else f"{key}={each}" for key, each in value.items()]
        texts = [text for text in map(_text, entries) if text is not None]
        if len(texts) != (option.nargs if isinstance(option.nargs, int) else len(entries) or 1):
            raise ConfigError(f"{what} must be {'a list of values' if is_list else 'a value'}; got {value!r:.80}.")
        try:
            return self._get_values(option, texts)
        except (ValueError, argparse.ArgumentError) as error:
            raise ConfigError(f"{what}: {error}") from error


def call(function: Callable[..., int], values: Mapping[str, Any]) -> int:
    from ...sources.stores import address_of, is_remote

    arguments = {name: value for name, value in values.items() if name != "config_file"}
    for name, hint in get_type_hints(function).items():
        if hasattr(hint, "__dataclass_fields__"):
            names = hint.__dataclass_fields__.keys() & arguments.keys()
            arguments[name] = hint(**{each: arguments.pop(each) for each in names})
    named = [value for name, value in values.items() if name not in _OUTPUTS]
    texts = list[str]()
    for value in named:
        texts += map(str, value if isinstance(value, list | tuple) else [value])
    parts = [part for text in texts for part in (text, *re.split("[=:,]", text))]  # LABEL=FILE:KEY=FILE
    NAMED[:] = filter(os.path.isfile, parts)
    outputs = [values[name] for name in _OUTPUTS if values.get(name)]
    for path in (Path(each) for each in outputs if not is_remote(address_of(each))):
        place = next(filter(os.path.exists, (path, *path.absolute().parents)))
        if not os.access(place, os.W_OK) or (place.is_file() and place != path):
            raise OutputError(f"cannot write to {str(path)!r}: {str(place)!r} is no folder, or may not be changed.")
    return function(**arguments)


def _text(value: Any) -> str | None:
    """Return a single value as text and a list of two texts as ``a|b``; None for None, booleans and collections."""
    if isinstance(value, list) and list(map(type, value)) == [str, str]:
        return "|".join(value)
    return None if value is None or isinstance(value, bool | list | dict) else str(value)
