"""Columns with statistics of a map of local scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import CLIPIQAError
from ..maps.places import SHARES_OF_BAD, STATISTICS, map_statistics, smoothed

if TYPE_CHECKING:
    from ..prompts.pairs import Columns


def with_map_stats(provenance: Mapping[str, Any], net: Any, columns: Columns | None) -> dict[str, Any]:
    """Return the provenance with a record for each column of map statistics, such as ``sharpness_worst``."""
    if not hasattr(net, "check_map"):
        raise CLIPIQAError("map_stats needs a map of local scores, which only clipiqa has: leave map_stats out.")
    net.check_map()
    net.encode_prompts(columns)  # raises for a fitted head, which has no prompts to score places
    scores = {}
    for name, record in provenance["scores"].items():
        scores[name] = record
        for statistic in STATISTICS:
            lower_better = statistic in SHARES_OF_BAD
            scores[f"{name}_{statistic}"] = {**record, "statistic": statistic, "lower_better": lower_better}
    return {**provenance, "map_stats": {"cell": net.clip.cell, "smooth": 3}, "scores": scores}


def scores_with_map(net: Any, x: Tensor, columns: Columns | None) -> Tensor:
    """Return scores and map statistics ``(N, 4 P)`` of images ``(N, 3, H, W)`` for ``P`` questions."""
    features, cells = net.encode_with_map(x)
    questions = () if columns is None else (columns,)
    score, maps = net.score(features, *questions), smoothed(net.score(cells, *questions))
    return torch.cat([score[..., None], map_statistics(maps)], dim=2).flatten(1)
