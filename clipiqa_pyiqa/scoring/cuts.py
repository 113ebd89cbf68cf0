"""Where scores are cut off: at a value, or at a share of the images such as ``'10%'``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import CLIPIQAError


def parse_cut(text: str) -> float | str:
    """Return ``'10%'`` as it is, and any other text as a number.

    Raises:
        ValueError: It is neither a number nor a percentage from 0 to 100.
    """
    text = text.strip()
    share = float(text.removesuffix("%"))
    if not text.endswith("%"):
        return share
    if not 0 <= share <= 100:
        raise ValueError("must be from 0% to 100%")
    return text


def value_of(cut: float | str, scores: Any, what: str) -> float:
    """Return the value of a cut: itself, or of ``'10%'`` the value that 10 % of the scores do not reach.

    Args:
        cut: A number or a percentage.
        scores: All scores, those that are missing as NaN.
        what: What the cut is called, for the message.

    Raises:
        CLIPIQAError: It is neither a number nor a percentage.
    """
    try:
        cut = parse_cut(cut) if isinstance(cut, str) else float(cut)
    except (TypeError, ValueError) as error:
        raise CLIPIQAError(f"{what} must be a number, or a percentage such as 10%; got {cut!r}.") from error
    if not isinstance(cut, str):
        return cut
    known = np.asarray(scores, float)
    known = known[~np.isnan(known)]
    return float(np.quantile(known, float(cut[:-1]) / 100)) if len(known) else 0.0
