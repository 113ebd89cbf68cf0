"""What a metric tells of its scores: their range, and whether low ones are good."""

import math
import re
from collections.abc import Callable
from typing import Any

from ...errors import CLIPIQAError
from ...text import shown
from ..results.columns import Record


def told_record(label: str, name: str, told: Callable[[str, Any], Any]) -> Record:
    """Return a column's record with the range and direction of its scores.

    Args:
        told: Function of an attribute's name and a default, which returns what the metric tells.
    """
    score_range = told("score_range", None)
    lower_better = told("lower_better", None)
    if isinstance(lower_better, str):
        raise CLIPIQAError(f"lower_better of metric {label!r} must be True or False; got {shown(lower_better)}.")
    return {"metric": name, "range": _range(label, score_range), "lower_better": bool(lower_better)}


def _range(label: str, score_range: Any) -> list[float | None]:
    """Return the lowest and the highest possible score; None: an open end.

    Args:
        score_range: Two numbers or Nones, or a text as pyiqa writes it, ``'0, ~100'``.
    """
    if score_range is None:
        return [None, None]
    if isinstance(score_range, str):
        return _range_in(score_range)
    try:
        low, high = [math.nan if end is None else float(end) for end in score_range]
    except (TypeError, ValueError) as error:
        raise CLIPIQAError(
            f"score_range of metric {label!r} must be two numbers (None: no limit), or a text such as '0, 1'; got "
            f"{shown(score_range)}."
        ) from error
    return [end if math.isfinite(end) else None for end in (low, high)]


def _range_in(text: str) -> list[float | None]:
    """Return the ends of a range that pyiqa writes; an approximate one, such as ``~100``, is open."""
    low_text, _, high_and_more = text.partition(",")
    high_text, _, _ = high_and_more.partition(",")
    return [float(end) if re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", end) else None for end in (low_text, high_text)]
