"""Words of messages, texts that terminals can show, and the logger that uses both."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable
from unicodedata import is_normalized

_LONGEST_LINE = 1000
_END_OF_A_LONG_LINE = 300


def shown(value: object) -> str:
    """Return a value's repr on one line of at most 80 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:79] + "…"


def first_of(messages: Iterable[str], most: int = 1) -> str:
    """Return the first messages and the number of further messages."""
    sentences = [message.rstrip(".") for message in messages]
    more = len(sentences) - most
    return "; ".join(sentences[:most]) + (f" (and {more} more like it)" if more > 0 else "")


def few(names: Iterable[str]) -> str:
    """Return five names, and how many follow."""
    # decomposed letters are escaped, since they look like the composed ones
    first = [repr(name) if is_normalized("NFC", name) else ascii(name) for name in names]
    return ", ".join(first[:5]) + (f" and {len(first) - 5} more" if len(first) > 5 else "")


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def twice_in(names: Iterable[str]) -> str:
    """Return the first name that occurs twice; empty if there is none."""
    return next((name for name, count in Counter(names).items() if count > 1), "")


def hint_for(name: str, known: Iterable[str], listing: str = "") -> str:
    """Return the hint that ends a message: the known names that are similar to ``name``, or all known names.

    Args:
        listing: What lists the known names, if they are too many for a message.
    """
    import difflib  # imported here, so that `import clipiqa_pyiqa` stays fast

    known = list(known)
    if not known:
        return "there are none."
    lower = {entry.lower(): entry for entry in known}
    similar = [lower[entry] for entry in difflib.get_close_matches(name.lower(), lower)]
    if similar:
        return f"did you mean {' or '.join(map(repr, similar))}?"
    return f"{listing} lists the known names." if listing else f"known names are {', '.join(known)}."


def pip_install(extras: Iterable[str]) -> str:
    """Return the command that installs extras of this package, which no package index has yet."""
    return f"`pip install '.[{','.join(extras)}]'` in a clone of clipiqa-pyiqa"


def reason_of(error: BaseException) -> str:
    """Return an error's words on one line, without a full stop; its type if it has no words."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def printable(path: str) -> str:
    r"""Return a path as Unicode text; a byte that is not UTF-8 becomes ``\xNN``."""
    if path.isascii():
        return path
    return "".join(_escaped(c) if 0xD800 <= ord(c) < 0xE000 else c for c in path)


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
    lines = [one_line(line) for line in text.split("\n")]
    start, end = _LONGEST_LINE - _END_OF_A_LONG_LINE - 1, _END_OF_A_LONG_LINE
    return "\n".join(line if len(line) <= _LONGEST_LINE else f"{line[:start]}…{line[-end:]}" for line in lines)


def _escaped(c: str) -> str:
    if 0xDC80 <= ord(c) <= 0xDCFF:  # Python's form of a byte that is not UTF-8
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape", "surrogatepass").decode()


class PlainLines(logging.Filter):
    """A filter that lets each message pass, in plain lines: a file's name may hold what a terminal obeys."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = plain_lines(record.getMessage())
        record.args = ()
        return True


log = logging.getLogger("clipiqa_pyiqa")
log.addFilter(PlainLines())
