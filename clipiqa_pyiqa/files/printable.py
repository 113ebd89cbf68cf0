"""Paths and texts as they can be shown: control characters and bytes that are not UTF-8 are escaped."""

import os
import re

_LONGEST_LINE = 1000
_END_OF_A_LONG_LINE = 300


def printable(path: str) -> str:
    r"""Return a path as Unicode text; a byte that is not UTF-8 becomes ``\xNN``."""
    if path.isascii():
        return path
    return "".join(_escaped(c) if _is_surrogate(c) else c for c in path)


def on_disk(path: str) -> str:
    r"""Return a path as the system knows it; result files hold ``\xNN`` for a byte that is not UTF-8."""
    if "\\x" not in path or os.path.lexists(path):
        return path
    raw_path = re.sub(r"\\x([89a-f][0-9a-f])", lambda byte: chr(0xDC00 + int(byte[1], 16)), path)
    return raw_path if os.path.lexists(raw_path) else path


def one_line(text: str, allowed: str = "") -> str:
    r"""Return text whose control characters, except ``allowed`` ones, are escaped, as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in allowed else _escaped(c) for c in text)


def plain_lines(text: str) -> str:
    """Return a text with :func:`one_line` applied to each line; a line above 1,000 characters is cut in the middle."""
    return "\n".join(_shortened(one_line(line)) for line in text.split("\n"))


def _shortened(line: str) -> str:
    if len(line) <= _LONGEST_LINE:
        return line
    start = line[: _LONGEST_LINE - _END_OF_A_LONG_LINE - 1]
    return f"{start}…{line[-_END_OF_A_LONG_LINE:]}"


def _is_surrogate(c: str) -> bool:
    return 0xD800 <= ord(c) < 0xE000


def _escaped(c: str) -> str:
    if 0xDC80 <= ord(c) <= 0xDCFF:  # Python's form of a byte that is not UTF-8
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape", "surrogatepass").decode()
