"""Words of messages: names, counts and values, each on one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from unicodedata import is_normalized


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
