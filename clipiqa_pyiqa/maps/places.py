"""Maps of local scores: the scores of an image's places, smoothed, and laid over its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from ..arguments import checked

if TYPE_CHECKING:
    from ..metric import CLIPIQA
    from ..prompts.pairs import Columns, Prompts


@checked
def quality_map(
    metric: CLIPIQA, x: Tensor, prompts: Prompts | Columns = None, *, smooth: bool = True, upsample: bool = False
) -> Tensor:
    """The local scores of images: :meth:`~clipiqa_pyiqa.CLIPIQA.score_map` for people to look at.

    Args:
        metric: which asks; of ``pyiqa.create_metric``, its ``.net``.
        x: ``(N, 3, H, W)``, RGB in [0, 1].
        prompts: as for the metric.
        smooth: average each place with its eight neighbours.
        upsample: enlarge to the image's size.

    Returns:
        ``(N, P, h, w)`` in [0, 1], a map for each question; ``(N, P, H, W)`` with ``upsample``.

    Raises:
        CLIPIQAError: as ``score_map``.

    Example:
        >>> import torch
        >>> from clipiqa_pyiqa import CLIPIQA
        >>> quality_map(CLIPIQA(backbone="mini"), torch.rand(1, 3, 96, 160), ["sharpness", "noisiness"]).shape
        torch.Size([1, 2, 3, 5])
    """
    scores = metric.score_map(x, prompts)
    if smooth:
        scores = smoothed(scores)
    return upsampled(scores, (x.shape[2], x.shape[3]), metric.clip.cell) if upsample else scores


def smoothed(scores: Tensor) -> Tensor:
    """Each place of ``(N, P, h, w)`` averaged with its eight neighbours; at the border, with those that there are."""
    return F.avg_pool2d(scores, 3, 1, 1, count_include_pad=False)


def upsampled(scores: Tensor, size: tuple[int, int], cell: int) -> Tensor:
    """Maps ``(N, P, h, w)`` at the image's size, ``(N, P, H, W)``: bilinear between the middles of the places.

    Args:
        scores: of places that lie side by side from the image's upper left corner on.
        size: H and W in pixels. What the last places leave over below and on the right repeats their outermost values.
        cell: height and width of a place in pixels.
    """
    rows, columns = (cell * count for count in scores.shape[2:])
    scores = F.interpolate(scores, size=(rows, columns), mode="bilinear", align_corners=False)
    scores = scores[..., : size[0], : size[1]]
    return F.pad(scores, (0, max(0, size[1] - columns), 0, max(0, size[0] - rows)), mode="replicate")
