"""What a user asks to be compared, as typed on a command line or written in YAML, before anything is looked up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import CLIPIQAError, ConfigError, shown
from ..files.yaml import parse_yaml, read_mapping
from ..prompts.pairs import parse_prompt_argument

CONFIG_KEYS: dict[str, tuple[type, ...]] = {  # of a benchmark configuration -> what its value may be
    **dict.fromkeys(("metrics", "datasets"), (Mapping, list, str)),
    **dict.fromkeys(("data_root", "out", "published", "device"), (str,)),
    **dict.fromkeys(("bootstrap", "seed", "fit_parameters", "batch_size", "workers"), (int,)),
    **dict.fromkeys(("plcc_fit", "without_mini_photos"), (bool,)),
}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", list: "a list", str: "a text"}


class CompareError(CLIPIQAError):
    """A comparison that cannot be made as asked."""


@dataclass(frozen=True)
class Specification:
    """A metric or a data set as asked for.

    Attributes:
        label: How it shall be called; empty to derive it.
        target: A name, a path, or an object that is one already; empty if the options say what it is.
        options: What changes it.
    """

    label: str
    target: Any
    options: Mapping[str, Any] = field(default_factory=dict)


def parse_argument(text: str) -> Specification:
    """Read ``[LABEL=]TARGET[:KEY=VALUE,...]``, whose values are YAML.

    A comma ends a value only where another ``KEY=`` follows, and ``prompts=Crisp photo.|Hazy photo.`` is a free pair.

    Raises:
        CompareError: a part of it is missing or is no YAML.

    Example:
        >>> parse_argument("mine=niqe:pretrained_model_path=niqe.mat,test_y_channel=false").options
        {'pretrained_model_path': 'niqe.mat', 'test_y_channel': False}
    """
    head, options = text, ""
    if found := re.search(r":(?=[A-Za-z_]\w*=)", text):
        head, options = text[: found.start()], text[found.end() :]
    label, _, target = head.rpartition("=")
    if not target.strip():
        raise CompareError(f"{text!r} names nothing: expected [LABEL=]NAME[:KEY=VALUE,...].")
    parsed = {}
    for part in re.split(r",(?=[A-Za-z_]\w*=)", options) if options else []:
        key, _, value = part.partition("=")
        if key == "prompts" and "|" in value:
            parsed[key] = parse_prompt_argument(value)
            continue
        try:
            parsed[key] = parse_yaml(value, "")
        except ConfigError as error:
            raise CompareError(f"the value of {key!r} in {text!r} is no YAML: quote it.") from error
    return Specification(label.strip(), target.strip(), parsed)


def parse_specifications(given: Any, what: str) -> list[Specification]:
    """Read one or several specifications: texts, (label, options) mappings, or objects.

    Args:
        given: A text, a mapping of label -> None, options or object, a specification, or a sequence of these.
        what: 'metric' or 'data set', for messages.

    Raises:
        CompareError: nothing is asked for, or options are no mapping.
    """
    if not (found := list(_specifications(given, what))):
        raise CompareError(f"no {what} is asked for: name at least one.")
    return found


def read_benchmark(path: str | Path) -> dict[str, Any]:
    """Read a benchmark configuration.

    Raises:
        ConfigError: It is missing, no YAML, or has unknown keys.
        CompareError: A value is not as ``CONFIG_KEYS`` says.
    """
    given = read_mapping(path, CONFIG_KEYS)
    check_kinds(given, CONFIG_KEYS, repr(str(path)))
    return given


def check_kinds(options: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]], where: str) -> None:
    """Raise ``CompareError`` for the first option that is not None and of none of its kinds; True is no number."""
    for key, value in options.items():
        kind = kinds.get(key, (object,))
        if value is not None and (not isinstance(value, kind) or (type(value) is bool and int in kind)):
            wanted = " or ".join(dict.fromkeys(_WORDS.get(each, f"a {each.__name__.lower()}") for each in kind))
            raise CompareError(f"{key} of {where} must be {wanted}; got {shown(value)}.")


def _specifications(given: Any, what: str) -> Iterable[Specification]:
    if isinstance(given, str):
        yield parse_argument(given)
    elif isinstance(given, Specification):
        yield given
    elif isinstance(given, Mapping):
        for label, value in given.items():
            if isinstance(value, bool | int | float | list | tuple):
                raise CompareError(f"the options of {what} {label!r} must be a mapping; got {shown(value)}.")
            if isinstance(value, Mapping):
                yield Specification(str(label), "", value)
            elif isinstance(value, str):
                yield replace(parse_argument(value), label=str(label))
            else:
                yield Specification("", label) if value is None else Specification(str(label), value)
    elif isinstance(given, list | tuple):
        for item in given:
            yield from _specifications(item, what)
    elif given is not None:
        yield Specification("", given)
