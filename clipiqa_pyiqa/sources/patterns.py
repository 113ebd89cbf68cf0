"""Brace patterns of shards, ``shards/{000..099}.tar``, and the names of results by shard."""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ..errors import ImageError, shown
from .stores import local_path

_BRACES = re.compile(r"\{([^{}]*,[^{}]*|\d{1,18}\.\.\d{1,18})\}")
MOST = 1_000_000  # shards that one pattern may name


def has_braces(name: str) -> bool:
    """Whether a name is a pattern of several."""
    return _BRACES.search(name) is not None


def expanded(pattern: str) -> Iterator[str]:
    """Yield the names that a pattern stands for: ``{000..099}`` counts, with as many digits; ``{a,b}`` lists.

    Raises:
        ImageError: They are more than a million.
    """
    for count, name in enumerate(_expanded(pattern)):
        if count == MOST:
            raise ImageError(f"{shown(pattern)} must stand for at most {MOST:,} names.")
        yield name


def _expanded(pattern: str) -> Iterator[str]:
    found = _BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    for part in _alternatives(found[1]):
        for rest in _expanded(pattern[found.end() :]):
            yield f"{pattern[: found.start()]}{part}{rest}"


def _alternatives(inside: str) -> Iterator[str]:
    if "," in inside:
        yield from inside.split(",")
        return
    first, last = inside.split("..")
    width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
    step = 1 if int(first) <= int(last) else -1
    for number in range(int(first), int(last) + step, step):
        yield f"{number:0{width}d}"


def result_names(shards: Sequence[str], loose: Sequence[bool]) -> list[str]:
    """Return the paths of results, without suffix: those of the shards below the folder that all have in common.

    Args:
        shards: Paths or addresses.
        loose: Which of them are not paths but names of our own.
    """
    parts = [[name] if own else _parts(name) for name, own in zip(shards, loose, strict=True)]
    folders = [part[:-1] for part, own in zip(parts, loose, strict=True) if not own]
    common = len(os.path.commonpath(["/".join(["", *each]) for each in folders]).split("/")) - 1 if folders else 0
    below = [part if own else part[common:] for part, own in zip(parts, loose, strict=True)]
    short = ["/".join([*part[:-1], _stem(part[-1])]) for part in below]
    count = Counter(name.lower() for name in short)  # file systems may take A and a for the same
    return [name if count[name.lower()] == 1 else "/".join(part) for name, part in zip(short, below, strict=True)]


def _parts(name: str) -> list[str]:
    path = local_path(name)
    if path is not None:
        return [part for part in os.path.abspath(path).replace(os.sep, "/").split("/") if part]
    kind, _, rest = name.partition("://")
    return [kind, *(part for part in posixpath.normpath("/" + rest).split("/") if part)]


def _stem(name: str) -> str:
    return re.sub(r"\.tar\.\w+$|(?<=.)\.[^.]*$", "", name) or name
