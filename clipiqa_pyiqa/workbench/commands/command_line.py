"""What a command line and the YAML files that it names give to a command."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from cyclopts import Token
from cyclopts.argument import Argument, ArgumentCollection

from ...checks import check_path
from ...errors import ConfigError, OptionError
from .options.needs import NEEDS

_OUTPUTS = ("out", "splits_out", "path", "videos", "page")
_NOT_IN_A_FILE = ("resume", "overwrite", "trust_weights", "config")
_LARGEST = 1_000_000_000  # number that anybody means
_MAY_BE_MAPPINGS = ("metrics", "data")  # of labels to options, as in Python


class CommandLine:
    """The arguments of a command, with texts that the command line and YAML files give; the command line wins.

    It is a cyclopts ``config``: the library calls it after it has read the command line, before it converts texts.
    """

    def __init__(self, allows_unknown: bool = False) -> None:
        self.arguments = ArgumentCollection()
        self._allows_unknown = allows_unknown

    def __call__(self, app: object, commands: object, arguments: ArgumentCollection) -> None:
        self.arguments = arguments
        for argument in arguments:
            argument.tokens = [_with_home(token) for token in argument.tokens]
        self._add_options_in_files()
        for argument in arguments:
            kinds = _kinds_in(argument.hint)
            if Path in kinds:
                for token in argument.tokens:
                    check_path(argument.field_info.name, token.value)
            if int in kinds:
                _check_whole(argument)
            if float in kinds:
                _check_finite(argument)

    @property
    def option_files(self) -> list[str]:
        """The YAML files that the command line names."""
        return self.texts("config")

    @property
    def is_quiet(self) -> bool:
        return any(argument.value is True for argument in self.arguments if argument.field_info.name == "quiet")

    def texts(self, name: str) -> list[str]:
        """Return what is given to an option, before it is converted."""
        named = [argument for argument in self.arguments if argument.field_info.name == name]
        return [token.value for argument in named for token in argument.tokens]

    def flags(self) -> dict[str, str]:
        """Return Python's name of each option -> its flag."""
        options = [argument for argument in self.arguments if argument.names and argument.names[0].startswith("--")]
        return {argument.field_info.name: argument.names[0] for argument in options if not argument.children}

    def named_files(self) -> list[str]:
        """Return the files that are named other than as outputs, also in LABEL=FILE:KEY=FILE."""
        named = [argument for argument in self.arguments if argument.field_info.name not in _OUTPUTS]
        texts = [_text_in(token) for argument in named for token in argument.tokens]
        names = [name for text in texts for name in (text, *re.split("[=:,]", text))]
        return [name for name in names if os.path.isfile(name)]

    def check_outputs(self) -> None:
        """Raise ``OutputError`` if an output is no place to write to, before anything slow is done."""
        from ..files.folders import check_place
        from ..sources.addresses import address_of, is_remote

        for name in _OUTPUTS:
            for output in self.texts(name):
                if not is_remote(address_of(output)):
                    check_place(output)

    def check_needs(self) -> None:
        """Raise ``OptionError`` for an option without a use, as no option is given that it needs."""
        flags = self.flags()
        for name, needed in NEEDS.items():
            if not self._is_given(name) or any(self._is_given(*option) for option in needed.items()):
                continue
            others = [f"{flags[option]} {value}".rstrip() for option, value in needed.items() if option in flags]
            raise OptionError(f"{flags[name]} needs {' or '.join(others)}: add it, or leave {flags[name]} out.")

    def _is_given(self, name: str, value: str = "") -> bool:
        """Return whether an option is given: any value but false, or this value."""
        tokens = [token for argument in self.arguments if argument.field_info.name == name for token in argument.tokens]
        if value:
            return value in [token.value for token in tokens]
        return any(token.implicit_value is not False for token in tokens)

    def _add_options_in_files(self) -> None:
        if not self.option_files:
            return
        from ..files.yaml import read_mapping  # imports yaml

        known = self._options_of_files()
        tokens = dict[str, list[Token]]()
        for path in self.option_files:
            values = read_mapping(path, known, self._allows_unknown)
            for name, value in values.items():
                if name not in known:
                    continue
                tokens[name] = _tokens_of(known[name], value, f"{name} in {path!r}")
        for name, tokens_of_name in tokens.items():
            if not known[name].tokens:  # the command line wins
                known[name].tokens = tokens_of_name

    def _options_of_files(self) -> dict[str, Argument]:
        """Return the options that a YAML file may set, by their names there."""
        options = dict[str, Argument]()
        for argument in self.arguments:
            flag = argument.names[0] if argument.names else ""
            if flag.startswith("--") and not argument.children and argument.field_info.name not in _NOT_IN_A_FILE:
                options[flag.removeprefix("--").replace("-", "_")] = argument
        return options


def as_given(_: Any, tokens: Sequence[Token]) -> Any:
    """Convert the texts of an option to a list; a mapping in a YAML file stays one."""
    first = tokens[0].implicit_value
    return first if isinstance(first, dict) else [token.value for token in tokens]


def _with_home(token: Token) -> Token:
    return token.evolve(value=os.path.expanduser(token.value)) if token.value.startswith("~") else token


def _kinds_in(hint: Any) -> set[Any]:
    """Return the types of a hint: float, tuple and None for ``tuple[float, float] | None``."""
    parts = get_args(hint)
    return {hint}.union(*map(_kinds_in, parts))


def _check_whole(argument: Argument) -> None:
    """Raise for a fraction, which cyclopts would round."""
    name = argument.field_info.name
    for token in argument.tokens:
        _, _, fraction = token.value.partition(".")
        if fraction.strip("0"):
            raise OptionError(f"{name} must be a whole number; got {token.value!r}.", options=(name,))


def _check_finite(argument: Argument) -> None:
    """Raise for numbers that are not finite, or that only a slip can mean."""
    name = argument.field_info.name
    for token in argument.tokens:
        number = 0.0
        with contextlib.suppress(ValueError):  # cyclopts refuses what is no number
            number = float(token.value)
        if not abs(number) <= _LARGEST:  # so is NaN
            what = f"a number of at most ±{_LARGEST:,}"
            raise OptionError(f"{name} must be {what}; got {token.value!r}.", options=(name,))


def _text_in(token: Token) -> str:
    """Return what a token holds, as text: a mapping of a YAML file, or the text that was typed."""
    mapping = token.implicit_value
    return str(mapping) if isinstance(mapping, dict) else token.value


def _tokens_of(argument: Argument, value: Any, what: str) -> list[Token]:
    """Return what a value in a YAML file is on a command line; ``what`` names the option and its file in messages."""
    if bool in _kinds_in(argument.hint):
        if not isinstance(value, bool):
            raise ConfigError(f"{what} must be true or false; got {value!r:.80}.")
        return [Token(keyword=what, implicit_value=value)]
    if isinstance(value, dict) and argument.field_info.name in _MAY_BE_MAPPINGS:
        return [Token(keyword=what, implicit_value=value)]
    texts = _texts_of(argument, value, what)
    return [Token(keyword=what, value=os.path.expanduser(text), index=index) for index, text in enumerate(texts)]


def _texts_of(argument: Argument, value: Any, what: str) -> list[str]:
    """Return a value in a YAML file as the texts that an option takes. Raises ``ConfigError`` for another number."""
    count, is_list = argument.token_count()
    texts: list[str | None]
    if is_list:
        expected = "a list of values"
        texts = _texts_of_list(value)
        has_count = len(texts) > 0
    elif count > 1:
        expected = f"a list of {count} values"
        texts = _texts_of_list(value)
        has_count = len(texts) == count
    else:
        expected = "a value"
        texts = [_text_of_value(value)]
        has_count = True
    sure_texts = [text for text in texts if text is not None]
    if not has_count or len(sure_texts) != len(texts):
        raise ConfigError(f"{what} must be {expected}; got {value!r:.80}.")
    return sure_texts


def _texts_of_list(value: Any) -> list[str | None]:
    """Return the entries of a list, those of a mapping as ``key=entry``, or a single value, as texts."""
    if isinstance(value, list):
        return list(map(_text_of_value, value))
    if not isinstance(value, dict):
        return [_text_of_value(value)]
    texts = {key: _text_of_value(entry) for key, entry in value.items()}
    return [None if text is None else f"{key}={text}" for key, text in texts.items()]


def _text_of_value(value: Any) -> str | None:
    """Return a single value as text and a list of two texts as ``a|b``; None for None, booleans and collections."""
    if isinstance(value, list) and list(map(type, value)) == [str, str]:
        return "|".join(value)
    return None if value is None or isinstance(value, bool | list | dict) else str(value)
