"""A statistic with its interval."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A statistic, or a paired difference (first minus second), with its 95 % interval.

    Attributes:
        low, high: The 2.5 % and 97.5 % percentiles; NaN without an interval.
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


def arrays(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Return two lists of one length as arrays."""
    x = np.asarray(x, np.float64)
    y = np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"two lists of one length are needed; got shapes {x.shape} and {y.shape}.")
    return x, y
