"""Texts for terminals, without control characters."""

from ...text import one_line


def harmless(text: str) -> str:
    """Return a text for a terminal; control characters are escaped, except line breaks and tabs."""
    if not text.strip("\x1b[A"):  # tqdm moves to the line above with these characters
        return text
    return one_line(text, "\n\r\t")
