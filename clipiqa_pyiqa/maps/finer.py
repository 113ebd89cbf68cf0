"""Finer maps, from enlarged images or from windows that are scored as images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import CLIPIQAError, ImageError, Kind
from ..images.batches import BATCH_PIXELS

if TYPE_CHECKING:
    from ..metric import CLIPIQA
    from ..prompts.pairs import Columns, Prompts

MIN_WINDOW = 32
MAX_SCALE = 8


def check_finer(scale: float = 1.0, window: int | None = None, stride: int | None = None) -> int:
    """Return the stride (0 without a window); raise ``CLIPIQAError`` if an option cannot be used."""
    if not 1 <= scale <= MAX_SCALE:
        raise CLIPIQAError(f"scale must be from 1 to {MAX_SCALE}; got {scale!r}.")
    if window is None:
        if stride is not None:
            raise CLIPIQAError("stride needs window, since it is the step from window to window: pass window, too.")
        return 0
    if scale != 1:
        raise CLIPIQAError("scale and window cannot be used together: pass one of them.")
    if window < MIN_WINDOW:
        raise CLIPIQAError(f"window must be at least {MIN_WINDOW} px; got {window!r}.")
    stride = window // 2 if stride is None else stride
    if stride < 1:
        raise CLIPIQAError(f"stride must be at least 1; got {stride!r}.")
    return stride


def enlarged(x: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return x
    size = [round(side * scale) for side in x.shape[2:]]
    return F.interpolate(x, size=size, mode="bicubic", align_corners=False).clamp_(0, 1)


def window_map(
    metric: CLIPIQA,
    x: Tensor,
    prompts: Prompts | Columns = None,
    window: int = 96,
    stride: int | None = None,
    *,
    batch_size: int = 16,
    progress: Callable[[int, int], Any] | None = None,
) -> Tensor:
    """Return scores of square windows, each scored as an image: exact and slow.

    Args:
        metric, x, prompts, window, stride: as for :func:`~clipiqa_pyiqa.maps.quality_map`.
        batch_size: windows scored at once.
        progress: called with the numbers of scored windows and of all windows.

    Returns:
        ``(N, P, h, w)``, ``h = (H - window) // stride + 1``; place (i, j) begins at pixel ``(i * stride, j * stride)``.

    Raises:
        ImageError: images cannot be scored, or are smaller than a window.
        CLIPIQAError: window or stride is too small.
    """
    from ..prompts.pairs import Columns

    stride = check_finer(1.0, window, stride)
    metric.check(x)
    if window > min(x.shape[2:]):
        size = f"{x.shape[3]}×{x.shape[2]} px"
        raise ImageError(f"window must fit into the image of {size}; got {window} px.", Kind.TOO_SMALL)
    aggregate = {} if isinstance(prompts, Columns) else {"aggregate": None}
    views = x.unfold(2, window, stride).unfold(3, window, stride)  # (N, 3, h, w, window, window), not copied
    n, _, h, w = views.shape[:4]
    batch_size = max(1, min(batch_size, BATCH_PIXELS // window**2))
    scores = []
    for start in range(0, n * h * w, batch_size):
        chosen = torch.arange(start, min(start + batch_size, n * h * w))
        image, place = chosen // (h * w), chosen % (h * w)
        crops = views[image, :, place // w, place % w]  # (b, 3, window, window)
        scores.append(metric.score(metric.encode_image(crops), prompts, **aggregate))
        if progress is not None:
            progress(start + len(chosen), n * h * w)
    return torch.cat(scores).unflatten(0, (n, h, w)).permute(0, 3, 1, 2)
