"""Metrics and data sets as users name them: ``[LABEL=]NAME:KEY=VALUE``, as typed, in YAML or as objects."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from ...checks import check_keys
from ...errors import CLIPIQAError, ConfigError
from ...text import shown
from .names_and_values import label_and_value, name_and_value

Settings = Mapping[str, Any]
"""Name of an option -> its value, as a user gives it."""
_WORDS = {bool: "true or false", str: "a text", int: "a whole number", float: "a number", type(None): "nothing"}
_BEFORE_OPTIONS = re.compile(r":(?=[A-Za-z_]\w*=)")
_BETWEEN_OPTIONS = re.compile(r",(?=[A-Za-z_]\w*=)")


@dataclass(frozen=True)
class Specification:
    """A metric or data set that a user names: label (may be empty), target (name, path or object), options."""

    label: str
    target: Any
    options: Settings = field(default_factory=dict)


def parse_argument(text: str) -> Specification:
    """Return the specification in ``[LABEL=]TARGET[:KEY=VALUE,...]``; values are YAML or a prompt pair.

    Example:
        >>> parse_argument("mine=niqe:pretrained_model_path=niqe.mat,test_y_channel=false").options
        {'pretrained_model_path': 'niqe.mat', 'test_y_channel': False}
    """
    name, *typed_options = _BEFORE_OPTIONS.split(text, maxsplit=1)
    label, target = label_and_value(name)
    if label == "":
        raise CLIPIQAError(f"{text!r} has an empty label: write a name before the first =, or leave = out.")
    if not target.strip():
        raise CLIPIQAError(f"{text!r} names no metric or data set: expected [LABEL=]NAME[:KEY=VALUE,...].")
    options = _parsed_options(typed_options[0], text) if typed_options else {}
    return Specification(label or "", target.strip(), options)


def _parsed_options(typed: str, argument: str) -> dict[str, Any]:
    """Return the options in ``KEY=VALUE,...``; ``argument`` is the whole text, for messages."""
    from .yaml import parse_yaml  # imports yaml

    options: dict[str, Any] = {}
    for part in _BETWEEN_OPTIONS.split(typed):
        key, text = name_and_value(part)
        if not text.strip():
            raise CLIPIQAError(f"{key!r} in {argument!r} has no value: write one, or leave {key!r} out.")
        if key == "prompts" and "|" in text:  # a pair: POSITIVE|NEGATIVE
            options[key] = text
            continue
        try:
            options[key] = parse_yaml(text, "")
        except ConfigError as error:
            raise CLIPIQAError(f"the value of {key!r} in {argument!r} is not YAML: quote it.") from error
    return options


def parse_specifications(named: Any, kind: str) -> list[Specification]:
    """Return the specifications in a text, an object, a mapping (label -> options or object), or a list of these."""
    specifications = list(_specifications(named, kind))
    if not specifications:
        raise CLIPIQAError(f"no {kind} is named: name at least one.")
    return specifications


def check_kinds(options: Settings, kinds: Settings, where: str) -> None:
    """Raise ``CLIPIQAError`` for an unknown key, or a value that is neither of its kind nor None."""
    check_keys(options, kinds, where)
    for key, value in options.items():
        kind = kinds[key]
        if value is not None and not isinstance(value, kind):
            raise CLIPIQAError(f"{key} of {where} must be {_in_words(kind)}; got {shown(value)}.")


def _in_words(kind: Any) -> str:
    alternatives = get_args(kind) or [kind]
    words = [_WORDS.get(alternative, f"a {alternative.__name__.lower()}") for alternative in alternatives]
    return " or ".join(words)


def _specifications(named: Any, kind: str) -> Iterable[Specification]:
    """Yield the specifications in whatever a user names; see :func:`parse_specifications`."""
    if named is None:
        return
    if isinstance(named, str):
        yield parse_argument(named)
    elif isinstance(named, Specification):
        yield named
    elif isinstance(named, Mapping):
        for label, definition in named.items():
            yield _labelled(label, definition, kind)
    elif isinstance(named, list | tuple):
        for entry in named:
            yield from _specifications(entry, kind)
    else:
        yield Specification("", named)


def _labelled(label: Any, definition: Any, kind: str) -> Specification:
    """Return the specification of a mapping's key and value: options, a text, an object, or None for the key alone."""
    if isinstance(definition, bool | int | float | list | tuple):
        raise CLIPIQAError(f"the options of {kind} {label!r} must be a mapping; got {shown(definition)}.")
    if isinstance(definition, Mapping):
        return Specification(str(label), "", definition)
    if isinstance(definition, str):
        return replace(parse_argument(definition), label=str(label))
    if definition is None:
        return Specification("", label)
    return Specification(str(label), definition)
