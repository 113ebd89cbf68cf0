"""Texts in pictures, shortened or wrapped to the room that they have."""

import textwrap

from ...text import printable

_ELLIPSIS = "…"
_LETTER = 0.6  # width of most letters, as a share of the font's size


def letters_in(width: float, size: int) -> int:
    """Return how many letters of a size fit into a width, both in one unit."""
    return int(width / (_LETTER * size))


def fitted(text: str, width: float, size: int) -> str:
    """Return a text on one line; one that is too long for the width in pixels is shortened in the middle."""
    text = " ".join(printable(text).split())
    most = letters_in(width, size)
    half = max(most - 1, 2) // 2
    return text if len(text) <= most else text[:half] + _ELLIPSIS + text[-half:]


def wrapped(text: str, width: int, lines: int = 3) -> str:
    """Return a text in lines of so many letters; what does not fit into so many lines is left out."""
    wrapped_lines = textwrap.wrap(text, width, break_on_hyphens=False, max_lines=lines, placeholder=_ELLIPSIS)
    return "\n".join(wrapped_lines) or text
