"""Single texts as questions: Wang et al., AAAI 2023, Sec. 3.1, Eq. 1, the step before pairs."""

import re
from dataclasses import dataclass

PREFIX = "single:"
COSINE_RANGE = (-1.0, 1.0)
_PREFIX = re.compile(r"\s*single\s*:", re.IGNORECASE)


@dataclass(frozen=True)
class SingleText:
    """One text; its score is the cosine of image and text, in [-1, 1], high for images close to the text."""

    text: str

    @property
    def name(self) -> str:
        return PREFIX + self.text

    @property
    def texts(self) -> tuple[str]:
        return (self.text,)


def is_single(prompt: str) -> bool:
    """Return whether a user's prompt is written as a single text."""
    return _PREFIX.match(prompt) is not None


def words_of_single(prompt: str) -> str:
    """Return the text behind ``single:``."""
    return _PREFIX.sub("", prompt, count=1)
