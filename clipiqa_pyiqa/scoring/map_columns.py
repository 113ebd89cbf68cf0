"""Columns that say what a photo's map comes to, beside the photo's score: a score alone hides local damage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..maps.places import STATISTICS, map_statistics, smoothed

if TYPE_CHECKING:
    from ..prompts.pairs import Columns


def with_map_columns(names: Iterable[str]) -> tuple[str, ...]:
    """``('sharpness',)`` to ``('sharpness', 'sharpness_worst', 'sharpness_p10', 'sharpness_below_half')``."""
    return tuple(name + end for name in names for end in ("", *(f"_{statistic}" for statistic in STATISTICS)))


def described_map(net: Any, columns: Columns | None) -> dict[str, str]:
    """What these columns are of, for the provenance.

    Raises:
        CLIPIQAError: The metric has no maps.
    """
    net.check_map()
    net.encode_prompts(columns)  # a fitted head has no prompts that a place can be asked
    return {"map_stats": f"places of {net.clip.cell} px, each the mean of 3×3"}


def scores_with_map(net: Any, x: Tensor, columns: Columns | None) -> Tensor:
    """Scores of images ``(N, 3, H, W)`` and statistics of their smoothed maps from one pass, ``(N, 4 P)``."""
    features, cells = net.encode_with_map(x)
    asked = () if columns is None else (columns,)
    score, maps = net.score(features, *asked), smoothed(net.score(cells, *asked))
    return torch.cat([score[..., None], map_statistics(maps)], dim=2).flatten(1)
