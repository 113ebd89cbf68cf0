"""Thresholds of scores: a value, or a share of the images such as ``'10%'``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import CLIPIQAError


def value_of(cut: float | str, scores: Any, what: str) -> float:
    """Return the cut's value; ``'10%'`` is the value below which 10 % of the scores lie. Raises ``CLIPIQAError``."""
    text = str(cut).strip()
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = np.nan
    if np.isnan(value) or (text.endswith("%") and not 0 <= value <= 100):
        raise CLIPIQAError(f"{what} must be a number, or a percentage such as 10%; got {cut!r}.")
    known = np.asarray(scores, float)
    known = known[known == known]  # without NaN
    return float(np.quantile(known, value / 100)) if text.endswith("%") and len(known) else value
