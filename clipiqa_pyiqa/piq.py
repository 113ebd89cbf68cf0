"""piq's layer for CLIP-IQA."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from . import metric
from .errors import CLIPIQAError
from .errors.arguments import checked


class CLIPIQA(nn.Module):
    """``piq.CLIPIQA`` for images of any size, with the paper's scores and a gradient. A high score is good.

    Args:
        data_range: value of white: 1 or 255.
        **options: options of :class:`clipiqa_pyiqa.CLIPIQA`.

    Raises:
        CLIPIQAError: an option cannot be used.

    Example:
        >>> import torch
        >>> clipiqa = CLIPIQA(data_range=255, backbone="mini")  # without a backbone: CLIP's RN50, the paper's
        >>> clipiqa(torch.randint(256, (2, 3, 64, 64))).shape
        torch.Size([2, 1])
    """

    @checked
    def __init__(self, data_range: float = 1.0, **options: Any) -> None:
        super().__init__()
        if not data_range > 0:
            raise CLIPIQAError(f"data_range must be positive, such as 1 or 255; got {data_range!r}.")
        self.data_range = float(data_range)
        self.metric = metric.CLIPIQA(**options).eval()

    def forward(self, x_input: Tensor) -> Tensor:
        """Return scores ``(N, 1)`` in [0, 1], higher is better.

        Args:
            x_input: RGB ``(N, 3, H, W)`` from 0 to ``data_range``, of any dtype.

        Raises:
            ImageError: the images cannot be scored.
        """
        return self.metric((x_input if x_input.is_floating_point() else x_input.float()) / self.data_range)
