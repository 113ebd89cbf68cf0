"""Slow drifts and alternating modes in a series of numbers, one for each night."""

import numpy as np
from numpy.typing import ArrayLike

FIRST = 20
"""Number of nights that give the usual mean and spread."""
_SLACK, _LIMIT, _MOST = 0.52, 2.85, 3.5
"""The chart's allowance and limit, and the most that one night counts, in spreads.

Chosen by simulation with mean and spread of only twenty nights (``tests/measure/nights.py``).
"""
_NIGHTS, _SWITCHES = 12, 3
"""Modes: least number of nights, and of switches between modes."""


def find_drift(values: ArrayLike, least: float, still: float = 0.0) -> tuple[int, float, float] | None:
    """Return a loss in the newest values, by a one-sided CUSUM (Page, Biometrika 1954).

    Returns:
        How many of the newest values are lower, how much lower on average than the first ones, and the spread (standard
        deviation) of the first ones; None without a loss. A loss lasts until a value is as good as the first ones; then
        the sum starts anew.

    Args:
        values: Values ``(N,)``, the newest last; high is good. The first ``FIRST`` give the mean and the spread.
        least: Smallest spread, above 0; first values with a smaller spread count as equal.
        still: Spread to use if the first values are equal.
    """
    x = np.asarray(values, np.float64)
    if len(x) <= FIRST:
        return None
    mean, spread = float(x[:FIRST].mean()), float(x[:FIRST].std(ddof=1))
    spread = spread if spread > least else max(least, still)
    total, since = 0.0, FIRST
    for night, loss in enumerate(np.minimum((mean - x[FIRST:]) / spread, _MOST), FIRST):
        since = since if total else night
        if total < _LIMIT:
            total = max(0.0, total + loss - _SLACK)
        elif loss <= least / spread:  # the loss has ended: its nights count for no later loss
            total = 0.0
    if total < _LIMIT:
        return None
    return len(x) - since, mean - float(x[since:].mean()), spread


def find_modes(values: ArrayLike, least: float) -> list[tuple[float, int]]:
    """Return the means of two modes between which values switch, with the number of values in each; else an empty list.

    The split has the largest ratio of likelihoods (two normal distributions of one variance, or a single one).

    Args:
        values: Values ``(N,)``, in order of time.
        least: The smallest spread within a mode, above 0.
    """
    x = np.asarray(values, np.float64)
    if len(x) < _NIGHTS:
        return []
    ordered = np.sort(x)
    splits = [(ordered[:place], ordered[place:]) for place in range(1, len(x))]
    apart = [len(low) * len(high) / len(x) * (high.mean() - low.mean()) ** 2 for low, high in splits]
    low, high = splits[int(np.argmax(apart))]
    within = (len(low) * low.var() + len(high) * high.var()) / (len(x) - 2)
    # by simulation: modes 4 spreads apart reach this limit in four of five series of any length
    if max(apart) < (3.75 * len(x) - 12) * max(within, least**2) or np.diff(x > low[-1]).sum() < _SWITCHES:
        return []
    return [(float(part.mean()), len(part)) for part in (low, high)]
