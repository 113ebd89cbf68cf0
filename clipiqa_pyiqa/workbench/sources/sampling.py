"""Which frames of videos are scored, as users say it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from ...errors import OptionError

SAMPLING = "1s"
"""The frames of a video that are scored unless asked otherwise."""


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are scored.

    Attributes:
        seconds: Seconds between two frames, 0 for all frames; None: by ``count``.
        count: Number of frames; None: by ``seconds``.
    """

    seconds: Fraction | None = None
    count: int | None = None

    @classmethod
    def of(cls, text: str) -> Sampling:
        """Return what ``0.5s`` or ``16 frames`` means."""
        match = re.fullmatch(r"(\d+\.?\d*|\.\d+)s?|([1-9]\d*) frames", text)
        if not match:
            raise OptionError(
                f"a video's frames must be seconds apart, such as 0.5s, or a number, such as '16 frames'; got {text!r}."
            )
        if match[2]:
            return cls(count=int(match[2]))
        return cls(seconds=Fraction(match[1]))

    @property
    def text(self) -> str:
        """The text that means these frames; one of equal ones, as ``1s`` for ``1`` and ``1.0s``."""
        return f"{self.count} frames" if self.seconds is None else f"{float(self.seconds):.12g}s"

    @property
    def words(self) -> str:
        """The frames, for people."""
        if self.seconds is None:
            return f"{self.count} frames of each"
        return f"a frame every {float(self.seconds):g} s" if self.seconds else "all frames"
