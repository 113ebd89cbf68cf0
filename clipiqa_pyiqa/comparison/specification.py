"""What a user asks to be compared, as typed on a command line or written in YAML, before anything is looked up."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import CLIPIQAError
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
class Request:
    """A metric or a data set as asked for.

    Attributes:
        label: How it shall be called; empty to derive it.
        target: A name, a path, or an object that is one already; empty if the options say what it is.
        options: What changes it.
    """

    label: str
    target: Any
    options: Mapping[str, Any] = field(default_factory=dict)


def parse_argument(text: str) -> Request:
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
        try:
            parsed[key] = _prompts(value) if key == "prompts" else yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise CompareError(f"the value of {key!r} in {text!r} is no YAML: quote it.") from error
    return Request(label.strip(), target.strip(), parsed)


def parse_requests(given: Any, what: str) -> list[Request]:
    """One or several requests: texts, (label, options) mappings, or objects.

    Args:
        given: A text, a mapping of label -> None, options or object, or a sequence of texts, mappings and objects.
        what: 'metric' or 'data set', for messages.

    Raises:
        CompareError: nothing is asked for, or options are no mapping.
    """
    requests = list(_requests(given, what))
    if not requests:
        raise CompareError(f"no {what} is asked for: name at least one.")
    return requests


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a benchmark configuration.

    Raises:
        CompareError: it is missing, no YAML, or not as ``CONFIG_KEYS`` says.
    """
    given = read_mapping(path, CONFIG_KEYS)
    for key, value in given.items():
        kinds = CONFIG_KEYS[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(kind.__name__.lower() for kind in kinds)
            raise CompareError(f"{key} in {str(path)!r} must be a {wanted}, but is {value!r:.80}.")
    return given


def read_mapping(path: str | Path, known: Collection[str]) -> dict[str, Any]:
    """The keys and values of a YAML file, without those that are null.

    Raises:
        CompareError: it is missing, no YAML, no mapping, or has a key that is not known.
    """
    path = Path(path).expanduser()
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CompareError(f"the configuration {str(path)!r} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CompareError(f"{str(path)!r} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(config, Mapping):
        raise CompareError(f"{str(path)!r} must be a mapping with the keys {', '.join(known)}.")
    check_keys(config, known, str(path))
    return {key: value for key, value in config.items() if value is not None}


def check_keys(options: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise for the first key that is not known, with the nearest that is."""
    known = list(known)
    for key in options:
        if key not in known:
            raise CompareError(f"unknown key {key!r} in {where}: {nearest(str(key), known)}")


def yes_or_no(options: Mapping[str, Any], key: str, where: str) -> bool:
    """An option that is true, false (also if it is missing), or an error: 'maybe' would turn a direction round."""
    value = options.get(key)
    if value is not None and not isinstance(value, bool):
        raise CompareError(f"{key} of {where} must be true or false, but is {value!r:.80}.")
    return bool(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """'did you mean …?' with up to three known names, or all of them if none is near."""
    known = list(known)
    lower = {entry.lower(): entry for entry in known}
    found = [lower[entry] for entry in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    return f"did you mean {' or '.join(map(repr, found))}?" if found else f"known are {', '.join(known)}."


def _requests(given: Any, what: str) -> Iterable[Request]:
    if given is None:
        return
    if isinstance(given, str):
        yield parse_argument(given)
    elif isinstance(given, Path):
        yield Request("", given)
    elif isinstance(given, Mapping):
        for label, value in given.items():
            if value is None:
                yield Request("", label)
            elif isinstance(value, Mapping):
                yield Request(str(label), "", value)
            elif isinstance(value, str):
                request = parse_argument(value)
                yield Request(str(label), request.target, request.options)
            elif isinstance(value, bool | int | float | list | tuple):
                raise CompareError(f"the options of {what} {label!r} must be a mapping, but are {value!r:.80}.")
            else:
                yield Request(str(label), value)
    elif isinstance(given, list | tuple):
        for item in given:
            yield from _requests(item, what)
    else:
        yield Request("", given)


def _prompts(value: str) -> Any:
    return parse_prompt_argument(value) if "|" in value else yaml.safe_load(value)
