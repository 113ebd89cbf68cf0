"""Scores of the places of images, as tensors."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...checks import check_number, check_truth
from ...errors import CLIPIQAError
from ...metric import CLIPIQA
from ...prompts.pairs import Prompts, QuestionsByColumn
from ...text import shown


def quality_map(
    metric: CLIPIQA,
    x: Tensor,
    prompts: Prompts | QuestionsByColumn = None,
    *,
    smooth: bool = True,
    upsample: bool = False,
    scale: float = 1.0,
) -> Tensor:
    """Return scores of the places of images, smoothed for viewing.

    Args:
        x: RGB ``(N, 3, H, W)`` in [0, 1].
        smooth: average each place with its eight neighbours.
        upsample: enlarge the map to the image's size.
        scale: factor, 1 to 8, by which the images are enlarged first; places get smaller.

    Returns:
        ``(N, P, h, w)`` in [0, 1], a map for each question; ``(N, P, H, W)`` with ``upsample``.
    """
    check_scale(scale)
    check_truth("smooth", smooth)
    check_truth("upsample", upsample)
    if not hasattr(metric, "score_map"):
        raise CLIPIQAError(f"metric must be a CLIPIQA, such as CLIPIQA(backbone='mini'); got {shown(metric)}.")
    scores = metric.score_map(enlarged(x, scale), prompts)
    if smooth:
        scores = smoothed(scores)
    if upsample:
        scores = upsampled(scores, (x.shape[2], x.shape[3]), metric.clip.cell / scale)
    return scores


def check_scale(scale: float) -> None:
    check_number("scale", scale, 1, 8)


def enlarged(x: Tensor, scale: float) -> Tensor:
    """Return images ``(N, 3, H, W)`` with sides multiplied by ``scale``."""
    if scale == 1:
        return x
    size = [round(side * scale) for side in x.shape[2:]]
    return F.interpolate(x, size=size, mode="bicubic", align_corners=False).clamp_(0, 1)


def smoothed(scores: Tensor) -> Tensor:
    """Return maps ``(N, P, h, w)``, each place the mean of itself and its neighbours."""
    return F.avg_pool2d(scores, 3, 1, 1, count_include_pad=False)


def upsampled(scores: Tensor, size: tuple[int, int], cell: float) -> Tensor:
    """Return maps ``(N, P, h, w)`` enlarged to the image's size, bilinearly between places of ``cell`` pixels."""
    bordered = F.pad(scores, (0, 2, 0, 2), mode="replicate")  # for the pixels after the last whole place
    height, width = size
    return F.interpolate(bordered, scale_factor=cell, mode="bilinear", align_corners=False)[..., :height, :width]
