"""Which images are chosen by their scores: best, worst, above and below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CLIPIQAError
from ...text import counted, few

_SHARE = "percentage such as 10%"
CUTS = {
    "worst": f"a number of images, or a {_SHARE}, above 0",
    "best": f"a number of images, or a {_SHARE}, above 0",
    "below": f"a number, or a {_SHARE}",
    "above": f"a number, or a {_SHARE}",
    "drop_worst": f"a {_SHARE}",
}
"""Condition of :func:`choose` -> the values that it takes, in words."""


def choose(
    names: Any, scores: Any, lower_better: bool, cuts: Mapping[str, Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of the worst images (the worst first), and of the best images (the best first).

    A share such as ``'10%'`` counts the images that have a score, and is rounded down. Images with equal scores are in
    order of name. An image without a score (NaN) is never chosen.

    Args:
        cuts: ``worst`` and ``best`` choose a number or a share. ``above`` leaves images at least as good as a score,
            ``below`` worse images; a share means the score that this share does not reach. ``drop_worst`` leaves out a
            share. Without ``worst`` and ``best``, all images that are left are chosen: the worst first if ``below`` was
            given without ``above``, otherwise the best first.
    """
    import pyarrow
    from pyarrow.compute import sort_indices

    quality = np.asarray(scores, float) * (-1 if lower_better else 1)
    table = pyarrow.table({"quality": quality, "name": names})

    def ordered(order: str) -> NDArray[np.intp]:
        places = sort_indices(table, [("quality", order), ("name", "ascending")]).to_numpy()
        return places[~np.isnan(quality[places])]

    worst_first = ordered("ascending")
    counts = _counts(cuts, quality[worst_first], lower_better)
    left = worst_first[max(counts.get("above", 0), counts.get("drop_worst", 0)) : counts.get("below")]
    if "worst" in counts or "best" in counts:
        worst_count = counts.get("worst", 0)
        best_count = counts.get("best", 0)
    elif "below" in counts and "above" not in counts:
        worst_count = len(left)
        best_count = 0
    else:
        worst_count = 0
        best_count = len(left)
    worst = left[:worst_count]
    best_first = ordered("descending")
    rest = best_first[np.isin(best_first, left) & ~np.isin(best_first, worst)]
    return worst, rest[:best_count]


def check_cuts(cuts: Mapping[str, Any]) -> None:
    """Raise ``CLIPIQAError`` if a condition of :func:`choose` has a value that it does not take."""
    _counts(cuts, np.empty(0), lower_better=False)


def _counts(cuts: Mapping[str, Any], quality: NDArray[np.float64], lower_better: bool) -> dict[str, int]:
    """Return for each condition the number of images that it concerns, counted from the worst (``best``: the best)."""
    counts = {name: _count(name, cut, quality, lower_better) for name, cut in cuts.items() if cut is not None}
    if counts.get("above", 0) > counts.get("below", len(quality)):
        raise CLIPIQAError(
            f"above and below leave no image, as {'low' if lower_better else 'high'} scores are good: "
            "exchange the two.",
            options=("above", "below"),
        )
    return counts


def unscored_note(names: Iterable[str]) -> list[str]:
    """Return a sentence about images that :func:`choose` leaves out, if there are any."""
    names = list(names)
    return [f"{counted(len(names), 'image')} left out, without a score or not readable: {few(names)}"] if names else []


def _count(name: str, cut: Any, quality: NDArray[np.float64], lower_better: bool) -> int:
    """Return the number of images that a condition concerns, counted from the worst (``best``: from the best)."""
    text = str(cut).strip()
    try:
        number = Decimal(text.removesuffix("%"))
        if text.endswith("%"):
            count = _count_of_share(name, number, len(quality))
        else:
            count = _count_of_number(name, number, quality, lower_better)
    except ArithmeticError:  # the text holds no number, or NaN
        count = None
    if count is None:
        raise CLIPIQAError(f"{name} must be {CUTS[name]}; got {cut!r}.", options=(name,))
    return count


def _count_of_share(name: str, percent: Decimal, images: int) -> int | None:
    """Return how many images a percentage is, rounded down; None if the condition does not take it."""
    is_choice_of_none = percent == 0 and name in ("worst", "best")
    if not 0 <= percent <= 100 or is_choice_of_none:
        return None
    return int(percent * images / 100)


def _count_of_number(name: str, number: Decimal, quality: NDArray[np.float64], lower_better: bool) -> int | None:
    """Return how many images are worse than a score, or a number of images; None if the condition does not take it."""
    if name in ("above", "below"):
        if number.is_nan():
            return None
        return int(np.searchsorted(quality, float(-number if lower_better else number)))
    is_whole = number.is_finite() and number == number.to_integral_value()
    if name not in ("worst", "best") or not is_whole or number < 1:
        return None
    return int(min(number, Decimal(len(quality))))
