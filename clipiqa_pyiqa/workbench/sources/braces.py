"""Names with braces, as a shell expands them: ``{000..099}`` and ``{a,b}``."""

import re
from collections.abc import Iterable, Sequence

from ...errors import ImageError
from ...text import shown

_BRACES = re.compile(r"\{([^{}]*,[^{}]*|\d{1,18}\.\.\d{1,18})\}")
MOST = 1_000_000  # names that one pattern may have


def has_braces(pattern: str) -> bool:
    return _BRACES.search(pattern) is not None


def expanded(pattern: str) -> list[str]:
    """Return the names that a pattern stands for. Raises ``ImageError`` beyond a million names."""
    parts = _BRACES.split(pattern)  # text, content of braces, text, …
    names = [parts[-1]]
    for text, content in zip(parts[-3::-2], parts[-2::-2], strict=True):
        choices = _choices(content)
        if len(choices) * len(names) > MOST:
            raise ImageError(f"{shown(pattern)} must stand for at most {MOST:,} names.")
        names = [f"{text}{choice}{name}" for choice in _texts(choices, content) for name in names]
    return names


def _choices(content: str) -> Sequence[str | int]:
    """Return what stands in braces, ``a,b``, or the numbers of a range, ``00..99``, which may count down."""
    if "," in content:
        return content.split(",")
    first, last = map(int, content.split(".."))
    step = 1 if first <= last else -1
    return range(first, last + step, step)


def _texts(choices: Iterable[str | int], content: str) -> list[str]:
    """Return choices as texts; the numbers of a range with a leading zero have equal lengths."""
    width = 0
    if "," not in content:
        first, last = content.split("..")
        if first.startswith("0") or last.startswith("0"):
            width = max(len(first), len(last))
    return [str(choice).zfill(width) for choice in choices]
