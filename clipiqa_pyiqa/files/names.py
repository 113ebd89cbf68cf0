"""Names of new files, and names and texts to be shown."""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

_QUOTED = re.compile(r'[",#\r\n]|^\s|\s$')  # in a cell of a CSV file that needs quotes


def printable(path: str) -> str:
    r"""Return a path as Unicode text; a byte that is not UTF-8 becomes ``\xNN``."""
    return path if path.isascii() else "".join(_escaped(c) if 0xD800 <= ord(c) < 0xE000 else c for c in path)


def on_disk(path: str) -> str:
    r"""Return a path as the system knows it; result files hold ``\xNN`` for a byte that is not UTF-8."""
    if "\\x" not in path or os.path.lexists(path):
        return path
    raw = re.sub(r"\\x([89a-f][0-9a-f])", lambda byte: chr(0xDC00 + int(byte[1], 16)), path)
    return raw if os.path.lexists(raw) else path


def one_line(text: str, allowed: str = "") -> str:
    r"""Return text whose control characters, except ``allowed`` ones, are escaped, as ``\x1b``."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c in allowed else _escaped(c) for c in text)


def plain_lines(text: str, longest: int = 1000) -> str:
    """Return a text with :func:`one_line` applied to each line; long lines are shortened in the middle."""
    lines = map(one_line, text.split("\n"))
    return "\n".join(line if len(line) <= longest else f"{line[: longest - 301]}…{line[-300:]}" for line in lines)


def harmless(text: str) -> str:
    """Return a text for a terminal; control characters are escaped, except line breaks and tabs."""
    if not text.strip("\x1b[A"):  # tqdm moves to the line above with these characters
        return text
    return one_line(text, "\n\r\t")


def _escaped(c: str) -> str:
    if 0xDC80 <= ord(c) <= 0xDCFF:  # Python's form of a byte that is not UTF-8
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape", "surrogatepass").decode()


def _make_plain(record: logging.LogRecord) -> bool:
    record.msg, record.args = plain_lines(record.getMessage()), ()
    return True


logging.getLogger("clipiqa_pyiqa").addFilter(_make_plain)


def below_common(paths: Sequence[str]) -> dict[str, str]:
    common = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths]) if paths else ""
    return {path: os.path.relpath(path, common).replace(os.sep, "/") for path in paths}


def file_name(name: str) -> str:
    """Return a label for use in a file's name; unsuitable characters become ``-``."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "data"


def free_name(name: str, taken: dict[str, int]) -> str:
    """Return the name, numbered if ``taken`` has it in lower case; ``taken`` counts names."""
    free, number = name, taken.get(name.lower(), 1)
    while free.lower() in taken:
        number += 1
        free = f"{name}-{number}"
    taken[name.lower()] = number
    taken.setdefault(free.lower(), 1)
    return free


def csv_line(values: Iterable[Any]) -> str:
    cells = ["" if value is None else str(value) for value in values]
    quoted = ('"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell for cell in cells)
    return printable(",".join(quoted)) + "\n"
