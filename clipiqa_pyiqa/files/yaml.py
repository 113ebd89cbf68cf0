"""Reading YAML that others wrote: plain values only, of bounded size, depth and repetition."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError, nearest

MOST_BYTES = 1 << 20
MOST_ALIASES = 20  # a few lines with more can stand for millions of values
MOST_LEVELS = 20  # of lists and mappings inside each other
MOST_DIGITS = 100  # Python itself refuses whole numbers beyond some thousand digits


class _Loader(yaml.SafeLoader):
    """A SafeLoader that gives up on files which are made to exhaust memory or the stack."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._aliases = 0
        self._open: list[str | None] = []  # anchors of the lists and mappings around the current node

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self._aliases += 1
            if event.anchor in self._open:
                raise yaml.YAMLError(f"'*{event.anchor}' stands for a list or mapping that holds it")
            if self._aliases > MOST_ALIASES:
                raise yaml.YAMLError(f"it has more than {MOST_ALIASES} aliases")
        if len(self._open) > MOST_LEVELS:
            raise yaml.YAMLError(f"it is nested more than {MOST_LEVELS} levels deep")
        self._open.append(event.anchor)
        try:
            return super().compose_node(parent, index)
        finally:
            self._open.pop()

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > MOST_DIGITS:
            raise yaml.YAMLError(f"it has a whole number of {len(node.value):,} digits")
        return super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(text: str, what: str) -> Any:
    """The value that a YAML text stands for.

    Args:
        text: One document.
        what: What the text is, for messages.

    Raises:
        ConfigError: It is no YAML, or is made to exhaust memory or the stack.
    """
    try:
        return yaml.load(text, _Loader)
    # an explicit tag, such as !!int x or !!timestamp x, reaches constructors with what they do not expect
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as problem:
        raise ConfigError(f"{what} is no YAML that can be used: {' '.join(str(problem).split())[:300]}.") from problem


def shipped() -> dict[str, Path]:
    """The configurations of this package by their names, such as ``'table1'`` for ``configs/benchmark/table1.yml``."""
    package = Path(__file__).parents[1]
    places = (package / "configs", package.parent / "configs")  # of an installation; of a clone
    folder = next((place for place in places if place.is_dir()), places[0])
    return {path.stem: path for path in sorted(folder.glob("*/*.yml"))}


def _find(path: str | Path) -> Path:
    """The file of that path, or the configuration of ours of that name."""
    found = Path(os.path.expanduser(path))  # which leaves ~nobody as it is
    if os.path.exists(found) or found.suffix or len(found.parts) != 1:  # Path.exists raises for a name that is too long
        return found
    if found.name not in (known := shipped()):
        raise ConfigError(
            f"{str(path)!r} is neither a file nor one of the configurations of this package: "
            f"{nearest(found.name, known)}"
        )
    return known[found.name]


def read_yaml(path: str | Path) -> Any:
    """The value in a YAML file.

    Args:
        path: The file, or the name of one of the package's own: see :func:`shipped`.

    Raises:
        ConfigError: It cannot be read, is too large, or as for :func:`parse_yaml`.
    """
    path = _find(path)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode()
    except OSError as problem:
        raise ConfigError(f"the configuration {str(path)!r} cannot be read: {problem.strerror}.") from problem
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{str(path)!r} is no YAML: {problem}.") from problem
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{str(path)!r} is no configuration: it has more than {MOST_BYTES >> 20} MiB.")
    return parse_yaml(text, repr(str(path)))


def read_mapping(path: str | Path, known: Collection[str]) -> dict[str, Any]:
    """The keys and values of a YAML file, without those that are null.

    Raises:
        ConfigError: As for :func:`read_yaml`; it is no mapping, or has a key that is not known.
    """
    shown, config = str(Path(path).expanduser()), read_yaml(path)
    if not isinstance(config, Mapping):
        raise ConfigError(f"{shown!r} must be a mapping with the keys {', '.join(known)}.")
    check_keys(config, known, shown)
    return {key: value for key, value in config.items() if value is not None}


def check_keys(options: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise for the first key that is not known, with the nearest that is."""
    known = list(known)
    for key in options:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in {where}: {nearest(str(key), known)}")
