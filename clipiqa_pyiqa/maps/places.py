"""Scores of places for viewing: smoothed and enlarged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors.arguments import checked
from .finer import check_finer, enlarged, window_map

if TYPE_CHECKING:
    from ..metric import CLIPIQA
    from ..prompts.pairs import Columns, Prompts


@checked
def quality_map(
    metric: CLIPIQA,
    x: Tensor,
    prompts: Prompts | Columns = None,
    *,
    smooth: bool | None = None,
    upsample: bool = False,
    scale: float = 1.0,
    window: int | None = None,
    stride: int | None = None,
) -> Tensor:
    """Return scores of the places of images, smoothed for viewing.

    Args:
        metric: the metric; of ``pyiqa.create_metric``, its ``.net``.
        x: RGB ``(N, 3, H, W)`` in [0, 1].
        prompts: as for the metric.
        smooth: average each place with its eight neighbours; by default only without ``window``.
        upsample: enlarge the map to the image's size.
        scale: factor, 1 to 8, to enlarge the images first, for smaller places.
        window: side of square windows to score (:func:`~clipiqa_pyiqa.maps.window_map`), at least 32 px.
        stride: pixels from window to window; default half the window.

    Returns:
        ``(N, P, h, w)`` in [0, 1], a map for each question; ``(N, P, H, W)`` with ``upsample``.

    Raises:
        CLIPIQAError: as for ``score_map``; or an option cannot be used.

    Example:
        >>> import torch
        >>> from clipiqa_pyiqa import CLIPIQA
        >>> quality_map(CLIPIQA(backbone="mini"), torch.rand(1, 3, 96, 160), ["sharpness", "noisiness"]).shape
        torch.Size([1, 2, 3, 5])
    """
    stride = check_finer(scale, window, stride)
    if window is not None:
        scores = window_map(metric, x, prompts, window, stride)
    else:
        scores = metric.score_map(enlarged(x, scale), prompts)
    if smooth or (smooth is None and window is None):
        scores = smoothed(scores)
    if not upsample:
        return scores
    offset, step = layout(metric.clip.cell, scale, window, stride)
    return upsampled(scores, (x.shape[2], x.shape[3]), step, offset)


def layout(cell: int, scale: float, window: int | None, stride: int) -> tuple[float, float]:
    """Return pixels from the edge to the first place, and from place to place."""
    return (0.0, cell / scale) if window is None else ((window - stride) / 2, float(stride))


def smoothed(scores: Tensor) -> Tensor:
    """Return each score averaged with its neighbours."""
    return F.avg_pool2d(scores, 3, 1, 1, count_include_pad=False)


def upsampled(scores: Tensor, size: tuple[int, int], cell: float, offset: float = 0.0) -> Tensor:
    """Return maps ``(N, P, h, w)`` enlarged to the image's size, bilinear between places.

    Args:
        cell: side of a place in pixels.
        offset: pixels from the edge to the first place.
    """
    for dim, side in zip((2, 3), size, strict=True):
        last = scores.shape[dim] - 1
        places = (torch.arange(side, dtype=torch.float64, device=scores.device) + 0.5 - offset) / cell - 0.5
        places = places.clamp(0, last)
        below = places.floor().long().clamp(max=max(last - 1, 0))
        share = (places - below).to(scores.dtype).view(-1, *[1] * (3 - dim))
        lower, upper = (scores.index_select(dim, index) for index in (below, (below + 1).clamp(max=last)))
        scores = lower + (upper - lower) * share
    return scores


def map_statistics(scores: Tensor) -> Tensor:
    """Return lowest score, 10th percentile and share of scores below 0.5, ``(N, P, 3)``."""
    places = scores.flatten(2).float()
    return torch.stack([places.amin(2), places.quantile(0.1, dim=2), (places < 0.5).float().mean(2)], dim=2)
