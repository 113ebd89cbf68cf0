"""torchmetrics' class for CLIP-IQA, with our scores."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..metric import CLIPIQA
from .functional import TorchmetricsPrompts, build, by_prompt, check_data_range, parse

try:
    from torchmetrics import Metric
    from torchmetrics.utilities import dim_zero_cat
except ImportError as error:
    raise ImportError(
        f"clipiqa_pyiqa.torchmetrics needs torchmetrics ({error}): pip install 'clipiqa-pyiqa[torchmetrics]'."
    ) from error

_OPTIONS = set(inspect.signature(CLIPIQA).parameters) - {"prompts", "aggregate"}


class CLIPImageQualityAssessment(Metric):
    """CLIP-IQA as ``torchmetrics.multimodal.CLIPImageQualityAssessment``: accumulates one score per image and prompt.

    Args:
        model_name_or_path, data_range, prompts: as for
            :func:`~clipiqa_pyiqa.torchmetrics.clip_image_quality_assessment`.
        **kwargs: options of :class:`~clipiqa_pyiqa.CLIPIQA`, and torchmetrics' own of every metric.

    Raises:
        ValueError: an argument that torchmetrics does not allow, or that :class:`~clipiqa_pyiqa.CLIPIQA` refuses.

    Example:
        >>> import torch
        >>> metric = CLIPImageQualityAssessment(backbone="mini", prompts=("quality", "sharpness"))
        >>> sorted(metric(torch.rand(2, 3, 64, 64)))
        ['quality', 'sharpness']
    """

    is_differentiable = True
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    scores: list[Tensor]

    def __init__(
        self,
        model_name_or_path: str = "clip_iqa",
        data_range: float = 1.0,
        prompts: TorchmetricsPrompts = ("quality",),
        **kwargs: Any,
    ) -> None:
        super().__init__(**{name: value for name, value in kwargs.items() if name not in _OPTIONS})
        check_data_range(data_range)
        self.data_range = data_range
        self.prompt_names, self.prompt_pairs = parse(prompts)
        options = {name: value for name, value in kwargs.items() if name in _OPTIONS}
        self.model = build(model_name_or_path, options)
        self.add_state("scores", [], dist_reduce_fx="cat")

    def update(self, images: Tensor) -> None:
        """Score images ``(N, 3, H, W)`` and keep the scores."""
        scores = self.model(images / float(self.data_range), list(self.prompt_pairs), None)
        # of one dimension, as torchmetrics' own empty tensor is for a process that has no images
        self.scores.append(scores.flatten())

    def compute(self) -> Tensor | dict[str, Tensor]:
        """Every score since the last reset: ``(N,)``, or a dict of them by prompt."""
        return by_prompt(dim_zero_cat(self.scores).unflatten(0, (-1, len(self.prompt_names))), self.prompt_names)

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> Any:
        """Figure and axes with a result, or several; by default those of :meth:`compute`."""
        return self._plot(val, ax)
