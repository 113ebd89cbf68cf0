"""piq's layer for CLIP-IQA, with our scores and a gradient."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from . import metric
from .errors import CLIPIQAError


class CLIPIQA(nn.Module):
    """``piq.CLIPIQA``: the paper's score of a batch, for images of any size.

    piq's detaches its result, so that a loss made of it teaches nothing; this one has a gradient with respect to the
    images where one is asked for. As there, high is good: to minimise it, use ``1 - score``, or
    :class:`~clipiqa_pyiqa.CLIPIQALoss`.

    Args:
        data_range: what stands for white: 1 or 255.
        **options: those of :class:`clipiqa_pyiqa.CLIPIQA`, such as ``backbone='mini'``, ``clip_weights``, ``prompts``.

    Raises:
        CLIPIQAError: a ``ValueError``, for any option that cannot be honoured.

    Example:
        >>> import torch
        >>> clipiqa = CLIPIQA(data_range=255, backbone="mini")  # without a backbone: CLIP's RN50, the paper's
        >>> clipiqa(torch.randint(256, (2, 3, 64, 64))).shape
        torch.Size([2, 1])
    """

    def __init__(self, data_range: float = 1.0, **options: Any) -> None:
        super().__init__()
        if isinstance(data_range, bool) or not isinstance(data_range, int | float) or not data_range > 0:
            raise CLIPIQAError(f"data_range={data_range!r} is no range: pass what stands for white, such as 1 or 255.")
        self.data_range = float(data_range)
        self.metric = metric.CLIPIQA(**options).eval()

    def forward(self, x_input: Tensor) -> Tensor:
        """Score images.

        Args:
            x_input: ``(N, 3, H, W)`` RGB from 0 to ``data_range``, of any dtype; integers count as floats, as in piq.

        Returns:
            Scores ``(N, 1)`` in [0, 1], higher is better.

        Raises:
            ImageError: images that cannot be scored.
        """
        return self.metric((x_input if x_input.is_floating_point() else x_input.float()) / self.data_range)
