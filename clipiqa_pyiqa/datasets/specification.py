"""What a user asks to be compared, as typed on a command line or written in YAML, before anything is looked up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CLIPIQAError, ConfigError
from ..files.yaml import parse_yaml, read_mapping
from ..prompts.pairs import parse_prompt_argument

CONFIG_KEYS: dict[str, tuple[type, ...]] = {  # of a benchmark configuration -> what its value may be
    "metrics": (Mapping, list, str),
    "datasets": (Mapping, list, str),
    "data_root": (str,),
    "out": (str,),
    "published": (str,),
    "bootstrap": (int,),
    "seed": (int,),
    "plcc_fit": (bool,),
    "batch_size": (int,),
    "workers": (int,),
    "device": (str,),
}


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
        what = f"the value of {key!r} in {text!r}"
        parsed[key] = parse_prompt_argument(value) if key == "prompts" and "|" in value else _value(value, what)
    return Specification(label.strip(), target.strip(), parsed)


def parse_specifications(given: Any, what: str) -> list[Specification]:
    """Read one or several specifications: texts, (label, options) mappings, or objects.

    Args:
        given: A text, a mapping of label -> None, options or object, a specification, or a sequence of these.
        what: 'metric' or 'data set', for messages.

    Raises:
        CompareError: nothing is asked for, or options are no mapping.
    """
    specifications = list(_specifications(given, what))
    if not specifications:
        raise CompareError(f"no {what} is asked for: name at least one.")
    return specifications


def read_benchmark(path: str | Path) -> dict[str, Any]:
    """Read a benchmark configuration.

    Raises:
        ConfigError: it is missing, no YAML, or has unknown keys.
        CompareError: a value is not as ``CONFIG_KEYS`` says.
    """
    given = read_mapping(path, CONFIG_KEYS)
    for key, value in given.items():
        kinds = CONFIG_KEYS[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(kind.__name__.lower() for kind in kinds)
            raise CompareError(f"{key} in {str(path)!r} must be a {wanted}, but is {value!r:.80}.")
    return given


def yes_or_no(options: Mapping[str, Any], key: str, where: str) -> bool:
    """An option that is true, false (also if it is missing), or an error: 'maybe' would turn a direction round."""
    value = options.get(key)
    if value is not None and not isinstance(value, bool):
        raise CompareError(f"{key} of {where} must be true or false, but is {value!r:.80}.")
    return bool(value)


def _specifications(given: Any, what: str) -> Iterable[Specification]:
    if given is None:
        return
    if isinstance(given, str):
        yield parse_argument(given)
    elif isinstance(given, Specification):
        yield given
    elif isinstance(given, Path):
        yield Specification("", given)
    elif isinstance(given, Mapping):
        for label, value in given.items():
            if value is None:
                yield Specification("", label)
            elif isinstance(value, Mapping):
                yield Specification(str(label), "", value)
            elif isinstance(value, str):
                specification = parse_argument(value)
                yield Specification(str(label), specification.target, specification.options)
            elif isinstance(value, bool | int | float | list | tuple):
                raise CompareError(f"the options of {what} {label!r} must be a mapping, but are {value!r:.80}.")
            else:
                yield Specification(str(label), value)
    elif isinstance(given, list | tuple):
        for item in given:
            yield from _specifications(item, what)
    else:
        yield Specification("", given)


def _value(text: str, what: str) -> Any:
    try:
        return parse_yaml(text, what)
    except ConfigError as error:
        raise CompareError(f"{what} is no YAML: quote it.") from error
