"""Brace patterns of several names: ``shards/{000..099}.tar``, ``{train,test}.parquet``."""

from __future__ import annotations

import itertools
import math
import re

from ..errors import ImageError, shown

_BRACES = re.compile(r"\{([^{}]*,[^{}]*|\d{1,18}\.\.\d{1,18})\}")
MOST = 1_000_000  # names of one pattern


def has_braces(name: str) -> bool:
    """Return whether a name is a pattern with braces."""
    return _BRACES.search(name) is not None


def expanded(pattern: str) -> list[str]:
    """Return the names of a pattern: ``{000..099}`` counts with as many digits, ``{a,b}`` lists.

    Raises:
        ImageError: There are more than a million names.
    """
    error = ImageError(f"{shown(pattern)} must stand for at most {MOST:,} names.")
    parts = []
    for place, text in enumerate(_BRACES.split(pattern)):  # text, content of braces, text, …
        if place % 2 == 0 or "," in text:
            parts.append(text.split(",") if place % 2 else [text])
            continue
        first, last = text.split("..")
        width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
        step = 1 if int(first) <= int(last) else -1
        numbers = range(int(first), int(last) + step, step)
        if len(numbers) > MOST:
            raise error
        parts.append([f"{number:0{width}d}" for number in numbers])
    if math.prod(map(len, parts)) > MOST:
        raise error
    return ["".join(names) for names in itertools.product(*parts)]
