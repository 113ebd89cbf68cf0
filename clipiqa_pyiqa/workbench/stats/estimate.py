"""A statistic with its interval."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A statistic, or a paired difference (first minus second), with its 95 % interval.

    Attributes:
        low, high: The ends of the interval; NaN without one.
        reason: Why there is no value.
        caveat: Why the value must not count as the best.
        p: Two-sided p-value for no difference, before :func:`holm` corrects it; NaN if there is none.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    reason: str = ""
    caveat: str = ""
    p: float = math.nan

    def named(self, name: str) -> dict[str, float]:
        """Return the columns ``name``, ``name low`` and ``name high``."""
        return {name: self.value, f"{name} low": self.low, f"{name} high": self.high}

    @property
    def numbers(self) -> tuple[float, float, float, float]:
        """Value, low, high and p."""
        return self.value, self.low, self.high, self.p
