"""Metrics and data sets to compare, as typed or in YAML."""

import importlib.util
import os
import re
import runpy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, get_args

from ..errors import CLIPIQAError, ConfigError, check_keys, shown

Settings = Mapping[str, Any]
"""Name of an option -> its value, as a user gives it."""
_WORDS = {bool: "true or false", str: "a text"}


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
    head, *rest = re.split(r":(?=[A-Za-z_]\w*=)", text, maxsplit=1)
    label, _, target = head.rpartition("=")
    if not target.strip():
        raise CLIPIQAError(f"{text!r} names no metric or data set: expected [LABEL=]NAME[:KEY=VALUE,...].")
    options = {}
    from .yaml import parse_yaml

    for part in re.split(r",(?=[A-Za-z_]\w*=)", rest[0]) if rest else []:
        key, _, value = part.partition("=")
        try:
            is_pair = key == "prompts" and "|" in value
            options[key] = value if is_pair else parse_yaml(value, "")
        except ConfigError as error:
            raise CLIPIQAError(f"the value of {key!r} in {text!r} is not YAML: quote it.") from error
    return Specification(label.strip(), target.strip(), options)


def parse_specifications(given: Any, kind: str) -> list[Specification]:
    """Return the specifications in a text, an object, a mapping (label -> options or object), or a list of these."""
    if not (found := list(_specifications(given, kind))):
        raise CLIPIQAError(f"no {kind} is named: name at least one.")
    return found


@cache
def pyiqa_configs() -> dict[str, dict[str, Any]]:
    """Return pyiqa's names of metrics -> their configurations, without importing pyiqa."""
    package = importlib.util.find_spec("pyiqa")
    for folder in (package and package.submodule_search_locations) or ():
        return dict(runpy.run_path(os.path.join(folder, "default_model_configs.py"))["DEFAULT_CONFIGS"])
    return {}


def check_kinds(options: Settings, kinds: Settings, where: str) -> None:
    """Raise ``CLIPIQAError`` for an unknown key, or a value that is neither of its kind nor None."""
    check_keys(options, kinds, where)
    for key, value in options.items():
        kind = kinds[key]
        if value is not None and not isinstance(value, kind):
            wanted = " or ".join(_WORDS.get(each, f"a {each.__name__.lower()}") for each in get_args(kind) or [kind])
            raise CLIPIQAError(f"{key} of {where} must be {wanted}; got {shown(value)}.")


def _specifications(given: Any, kind: str) -> Iterable[Specification]:
    if isinstance(given, str):
        yield parse_argument(given)
    elif isinstance(given, Specification):
        yield given
    elif isinstance(given, Mapping):
        for label, value in given.items():
            if isinstance(value, bool | int | float | list | tuple):
                raise CLIPIQAError(f"the options of {kind} {label!r} must be a mapping; got {shown(value)}.")
            if isinstance(value, Mapping):
                yield Specification(str(label), "", value)
            elif isinstance(value, str):
                yield replace(parse_argument(value), label=str(label))
            else:
                yield Specification("", label) if value is None else Specification(str(label), value)
    elif isinstance(given, list | tuple):
        for item in given:
            yield from _specifications(item, kind)
    elif given is not None:
        yield Specification("", given)
