"""Names for files that are made, and names of files that are shown."""

from __future__ import annotations

import itertools
import os
import re


def printable(path: str) -> str:
    """A path that every format can hold: bytes in it that are not UTF-8 become ``\\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def one_line(text: str) -> str:
    r"""Text on one line that cannot steer a terminal or turn a reader's view: what could is spelt, as ``\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def file_name(name: str) -> str:
    """A label as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "data"


def free_name(name: str, taken: set[str]) -> str:
    """The name, numbered if it is taken already, also where case does not count; it is taken from now on."""
    names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    free = next(name for name in names if name.lower() not in taken)
    taken.add(free.lower())
    return free
