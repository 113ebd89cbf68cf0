"""Brace patterns of shards, ``shards/{000..099}.tar``, and the names of results by shard."""

from __future__ import annotations

import itertools
import math
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
    """The names that a pattern stands for, in order: ``{000..099}`` counts, with as many digits; ``{a,b}`` lists.

    Raises:
        ImageError: They are too many to be meant.
    """
    if (many := math.prod(_count(found[1]) for found in _BRACES.finditer(pattern))) > MOST:
        raise ImageError(f"{shown(pattern)} stands for {many:,} names, but at most {MOST:,} are taken.")
    return _expanded(pattern)


def _expanded(pattern: str) -> Iterator[str]:
    found = _BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    before, after = pattern[: found.start()], pattern[found.end() :]
    for part in _alternatives(found[1]):
        for rest in _expanded(after):
            yield f"{before}{part}{rest}"


def _count(inside: str) -> int:
    if "," in inside:
        return inside.count(",") + 1
    first, last = map(int, inside.split(".."))
    return abs(last - first) + 1


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
    """Paths of results, without a suffix and with ``/``: those of the shards below the folder that all have in common.

    Args:
        shards: Paths or addresses.
        loose: Which of them are no paths but names of our own.
    """
    parts = [[name] if own else _parts(name) for name, own in zip(shards, loose, strict=True)]
    folders = [part[:-1] for part, own in zip(parts, loose, strict=True) if not own]
    common = _common(folders)
    below = [part if own else part[common:] for part, own in zip(parts, loose, strict=True)]
    short = ["/".join([*part[:-1], _stem(part[-1])]) for part in below]
    count = Counter(name.lower() for name in short)  # file systems may take A and a for the same
    return [name if count[name.lower()] == 1 else "/".join(part) for name, part in zip(short, below, strict=True)]


def _common(folders: Sequence[Sequence[str]]) -> int:
    """How many of their first parts all have in common."""
    same = (len(set(parts)) == 1 for parts in zip(*folders, strict=False))
    return len(list(itertools.takewhile(bool, same)))


def _parts(name: str) -> list[str]:
    path = local_path(name)
    if path is not None:
        return [part for part in os.path.abspath(path).replace(os.sep, "/").split("/") if part]
    kind, _, rest = name.partition("://")
    return [kind, *(part for part in posixpath.normpath("/" + rest).split("/") if part)]


def _stem(name: str) -> str:
    for suffix in (".tar.gz", ".tar.bz2", ".tar.xz"):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return os.path.splitext(name)[0] or name
