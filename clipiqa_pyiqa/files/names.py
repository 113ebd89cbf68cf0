"""Names for files that are made, and names of files that are shown."""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any


def printable(path: str) -> str:
    r"""A path that every format can hold: bytes in it that are not UTF-8 become ``\xNN``."""
    try:
        return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return "".join(c if not 0xD800 <= ord(c) < 0xE000 else _spelt(c) for c in path)


def one_line(text: str) -> str:
    r"""Text on one line that cannot steer a terminal or turn a reader's view: what could is spelt, as ``\x1b``.

    Whatever comes from outside passes this before a terminal, a log, SVG or HTML.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _spelt(c) for c in text)


def plain_lines(text: str, longest: int = 1000) -> str:
    """Text whose line breaks are meant, each line as :func:`one_line` has it; of a very long one, both ends."""
    lines = map(one_line, text.split("\n"))
    return "\n".join(line if len(line) <= longest else f"{line[: longest - 301]}…{line[-300:]}" for line in lines)


def harmless(text: str) -> str:
    """What is written to a terminal, progress bars included: nothing in it steers more than they do."""
    if text.isprintable() or not text.strip("\x1b[A"):  # tqdm's way to the line above
        return text
    return "".join(c if c.isprintable() or c in "\n\r\t" else _spelt(c) for c in text)


def _spelt(c: str) -> str:
    if 0xDC80 <= ord(c) <= 0xDCFF:  # a byte that is no UTF-8, as Python has it in names of files
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape", "surrogatepass").decode()


class PlainRecords(logging.Filter):
    """Has what is logged pass :func:`plain_lines`."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = plain_lines(record.getMessage()), ()
        return True


logging.getLogger("clipiqa_pyiqa").addFilter(PlainRecords("clipiqa_pyiqa"))  # that one logger is all of the package's


def below_common(paths: Sequence[str]) -> dict[str, str]:
    """Paths -> what they are called below the folder that holds them all, with ``/``."""
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
    try:
        common = os.path.commonpath(folders) if folders else ""
    except ValueError:  # on several drives
        return {path: path for path in paths}
    return {path: os.path.relpath(os.path.abspath(path), common).replace(os.sep, "/") for path in paths}


def file_name(name: str) -> str:
    """A label as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "data"


def free_name(name: str, taken: set[str]) -> str:
    """The name, numbered if it is taken already, also where case does not count; it is taken from now on."""
    names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    free = next(name for name in names if name.lower() not in taken)
    taken.add(free.lower())
    return free


def csv_line(values: Iterable[Any]) -> str:
    """Return one line of a CSV file; text that holds a ``#`` is quoted, so that ``comment='#'`` does not cut it."""
    cells = ("" if value is None else printable(str(value)) for value in values)
    quoted = (
        '"' + cell.replace('"', '""') + '"' if any(c in cell for c in '",#\r\n') or cell != cell.strip() else cell
        for cell in cells
    )
    return ",".join(quoted) + "\n"
