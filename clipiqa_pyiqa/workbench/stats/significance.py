"""When a difference is beyond chance: the level, Holm's correction, and how many cases it takes."""

import math

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array

LEVEL = 0.05
"""Differences with p-values below this are beyond chance."""


def holm(p: ArrayLike) -> Array:
    """Return p-values ``(K,)``, corrected for ``K`` comparisons (Holm 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(stepped, 1)[np.argsort(order)]


def cases_needed(count: int) -> int:
    """Return how many cases it takes to show one of ``count`` differences; with fewer, 2 / 2^n is too large."""
    return math.floor(math.log2(count / LEVEL)) + 2
