"""Numbers, intervals and p-values as the texts of cells."""

from __future__ import annotations

import math


def number(value: float, digits: int = 3, sign: str = "") -> str:
    """Return a number with so many decimals; ``–`` if there is none."""
    return "–" if math.isnan(value) else f"{value:{sign}z.{digits}f}"


def interval(low: float, high: float, digits: int = 3) -> str:
    """Return the ends of an interval in brackets; empty if there is none."""
    return "" if math.isnan(low) else f"[{number(low, digits)}, {number(high, digits)}]"


def p_value(p: float, is_lowest: bool) -> str:
    """Return a p-value as text, with ≤ and rounded up if it is the lowest p-value that the test can give."""
    if p < 0.001:
        return "p < 0.001"
    if is_lowest:  # rounded down, it would be no bound
        return f"p ≤ {math.ceil(round(1000 * p, 6)) / 1000:.3f}"
    return f"p = {p:.3f}"
