"""Checks of the options of ``CLIPIQALoss`` that are more than a number or a choice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .checks import check_number
from .errors import CLIPIQAError, OptionError, PromptError
from .gradient_share import BESIDE
from .metric import CLIPIQA
from .text import hint_for, shown


def check_names_of_options(options: Iterable[str], known: Iterable[str]) -> None:
    """Raise OptionError, a TypeError, for the first option that the loss does not have."""
    names = list(known)
    for option in options:
        if option not in names:
            raise OptionError(f"CLIPIQALoss has no option {option!r}: {hint_for(option, names)}")


def check_kinds(metric: Any, criterion: Any) -> None:
    """Raise unless ``metric`` and ``criterion`` are of the kinds that the loss can use."""
    if metric is not None and not isinstance(metric, CLIPIQA):
        raise CLIPIQAError(f"metric must be a CLIPIQA, such as CLIPIQA(backbone='mini'); got {shown(metric)}.")
    if criterion is not None and (not hasattr(criterion, "answer") or criterion.has_captions):
        raise CLIPIQAError("criterion must be a metric of clipiqa_pyiqa.family that needs no captions.")


def range_of(input_range: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest value of a prediction; raise CLIPIQAError unless they are a range."""
    try:
        low, high = map(float, input_range)
    except (TypeError, ValueError, OverflowError):
        low, high = 0.0, 0.0
    if not 0 < high - low < math.inf:  # of an endless range every image would be the same point
        raise CLIPIQAError(
            f"input_range must be two finite numbers, low below high, such as (-1, 1); got {shown(input_range)}."
        )
    return low, high


def check_share(share: float | None, beside: Any, loss_weight: float) -> None:
    """Raise unless ``share`` and ``beside`` are given together, and then without ``loss_weight``; or neither."""
    if share is not None:
        check_number("share", share)
    is_named = isinstance(beside, str) and beside in BESIDE
    if beside is not None and not is_named and not callable(beside):
        raise OptionError(
            f"beside must be 'l1', 'mse' or a function of the prediction and the target; got {shown(beside)}.",
            options=("beside",),
        )
    if share is None and beside is None:
        return
    if share is None or beside is None or share <= 0 or loss_weight != 1:
        raise CLIPIQAError(
            "share, a fraction above 0 such as 0.3 for 30 %, and beside, the pixel loss ('l1', 'mse' or a function), "
            f"go together and without loss_weight; got share={share}, beside={shown(beside)}, "
            f"loss_weight={loss_weight}."
        )


def check_prompt_weights(weights: Sequence[float] | None, count: int) -> None:
    """Raise PromptError unless there is a weight for each of ``count`` pairs, or None."""
    try:
        values = _as_tensor(weights, count)
    except (TypeError, ValueError):
        values = torch.empty(0)
    if values.shape != (count,) or not (values.isfinite().all() and values.min() >= 0 and values.sum() > 0):
        raise PromptError(
            f"prompt_weights must be {count} finite numbers, one for each prompt pair, at least 0 and not all 0; "
            f"got {shown(weights)}."
        )


def shares_of_pairs(weights: Sequence[float] | None, count: int) -> Tensor:
    """Return the share of each pair in the loss; their sum is 1."""
    values = _as_tensor(weights, count)
    return values / values.sum()


def _as_tensor(weights: Sequence[float] | None, count: int) -> Tensor:
    return torch.tensor([1.0] * count if weights is None else weights, dtype=torch.float64, device="cpu")
