"""YAML files with plain values, limited size and no aliases."""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from ...checks import FilePath, check_keys
from ...errors import ConfigError
from ...files import open_file
from ...text import twice_in
from .shipped import shipped_file

LARGEST_CONFIG = 1 << 20


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses aliases and equal keys."""

    def get_event(self) -> yaml.Event:
        event = super().get_event()
        if isinstance(event, yaml.AliasEvent):  # a few lines with aliases can stand for millions of values
            raise yaml.YAMLError(f"it has the alias '*{event.anchor}': write the value again instead")
        return event

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        repeated = twice_in(key.value for key, _ in node.value if isinstance(key.value, str))
        if repeated:
            raise yaml.YAMLError(f"the key {repeated!r} occurs twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(  # PyYAML reads YAML 1.1, where 1e-6 is a text
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_yaml(text: str | bytes, what: str) -> Any:
    """Return the value of a YAML text; messages call the text ``what``. Raises ``ConfigError``."""
    try:
        return _Loader(text).get_single_data()
    # constructors of explicit tags, such as !!int x or !!timestamp x, raise many kinds of errors
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as problem:
        raise ConfigError(f"{what} is not usable YAML: {_in_words(problem)[:300]}.") from problem


def _in_words(problem: Exception) -> str:
    """Return what is wrong with a YAML text, and in which line; PyYAML itself would name a "byte string"."""
    if isinstance(problem, yaml.MarkedYAMLError) and problem.problem_mark:
        mark = problem.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem.problem}"
    if isinstance(problem, yaml.reader.ReaderError):
        return f"the character at position {problem.position} cannot be read ({problem.reason})"
    return " ".join(str(problem).split())


def read_yaml(path: FilePath) -> Any:
    """Return the value in a YAML file, or in the file of a name in :func:`shipped_configs`. Raises ``ConfigError``."""
    path = Path(os.path.expanduser(path))
    if _is_a_name(path):
        path = shipped_file(path.name)
    try:
        with open_file(path) as file:
            content = file.read(LARGEST_CONFIG + 1)
    except OSError as problem:
        raise ConfigError(f"the configuration {str(path)!r} cannot be read: {problem.strerror}.") from problem
    if len(content) > LARGEST_CONFIG:
        raise ConfigError(f"{str(path)!r} is not a configuration: it has more than {LARGEST_CONFIG >> 20} MiB.")
    return parse_yaml(content, repr(str(path)))


def read_mapping(path: FilePath, known: Collection[str], can_have_others: bool = False) -> dict[str, Any]:
    """Return the keys and values of a YAML file, without null values. Raises ``ConfigError``."""
    config = read_yaml(path)
    name = os.path.expanduser(path)
    if not isinstance(config, Mapping):
        raise ConfigError(f"{name!r} must be a mapping with the keys {', '.join(known)}.")
    if not can_have_others:
        check_keys(config, known, name)
    return {key: value for key, value in config.items() if value is not None}


def _is_a_name(path: Path) -> bool:
    """Return whether a path has neither a folder nor a suffix, and no file is there."""
    return len(path.parts) == 1 and not path.suffix and not path.exists()
