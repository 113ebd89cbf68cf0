"""CLIP-IQA with torchmetrics' interface; the scores are this package's, and have a gradient."""

import itertools
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .metric import CLIPIQA
from .prompts.pairs import only_pairs, parse_questions
from .text import pip_install

try:
    from torchmetrics import Metric
    from torchmetrics.utilities import dim_zero_cat
except ImportError as error:
    raise ImportError(
        f"clipiqa_pyiqa.torchmetrics needs torchmetrics ({error}): run {pip_install(['torchmetrics'])}."
    ) from error

__all__ = ["CLIPImageQualityAssessment", "clip_image_quality_assessment"]

TorchmetricsPrompts = tuple[str | tuple[str, str], ...]

MODELS: dict[str, dict[str, Any]] = {
    "clip_iqa": {"backbone": "RN50"},
    "openai/clip-vit-base-patch16": {"backbone": "ViT-B/16", "pos_embedding": "fixed"},
    "openai/clip-vit-base-patch32": {"backbone": "ViT-B/32", "pos_embedding": "fixed"},
    "openai/clip-vit-large-patch14": {"backbone": "ViT-L/14", "pos_embedding": "fixed"},
}
"""torchmetrics' names of models as options of :class:`~clipiqa_pyiqa.CLIPIQA`; its ViTs see resized, cropped images."""

_OPTIONS = {"backbone", "pos_embedding", "precision", "clip_weights", "quick_gelu"}  # prompts are torchmetrics'


def clip_image_quality_assessment(
    images: Tensor,
    model_name_or_path: str = "clip_iqa",
    data_range: float = 1.0,
    prompts: TorchmetricsPrompts = ("quality",),
    **options: Any,
) -> Tensor | dict[str, Tensor]:
    """Return scores as ``torchmetrics.functional.multimodal.clip_image_quality_assessment`` does, with a gradient.

    Args:
        images: RGB ``(N, 3, H, W)``.
        model_name_or_path: a key of ``MODELS``.
        data_range: value of white, such as 255.
        **options: ``backbone``, ``pos_embedding``, ``precision``, ``clip_weights`` and ``quick_gelu`` of
            :class:`~clipiqa_pyiqa.CLIPIQA`; they override the model's.

    Returns:
        ``(N,)`` for one prompt (a scalar for one image), or a dict from prompt to scores; pairs of texts are named
        ``user_defined_0`` and so on.
    """
    metric = CLIPImageQualityAssessment(model_name_or_path, data_range, prompts, **options)
    return metric.by_prompt(metric.scores_of(images))


class CLIPImageQualityAssessment(Metric):
    """``torchmetrics.multimodal.CLIPImageQualityAssessment``: one score per image and prompt.

    Args:
        **kwargs: as for :func:`clip_image_quality_assessment`, and options of torchmetrics' metrics.

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
        options = {name: kwargs.pop(name) for name in _OPTIONS & kwargs.keys()}
        super().__init__(**kwargs)
        if model_name_or_path not in MODELS:
            known = ", ".join(MODELS)
            raise ValueError(f"Argument `model_name_or_path` must be one of {known}; got {model_name_or_path!r}.")
        model = MODELS[model_name_or_path]
        if not isinstance(data_range, int | float) or not data_range > 0:
            raise ValueError("Argument `data_range` should be a positive number.")
        self.data_range = data_range
        if not isinstance(prompts, tuple):
            raise ValueError("Argument `prompts` must be a tuple containing strings or tuples of strings")
        numbers = itertools.count()
        names = [prompt if isinstance(prompt, str) else f"user_defined_{next(numbers)}" for prompt in prompts]
        self.questions = parse_questions(dict(zip(names, prompts, strict=True)))
        for pairs in self.questions.values():
            only_pairs(pairs, "CLIPImageQualityAssessment")
        self.model = CLIPIQA(**(model | options)).eval()
        self.add_state("scores", [], dist_reduce_fx="cat")

    def update(self, images: Tensor) -> None:
        # one dimension, like torchmetrics' empty tensor for a process without images
        self.scores.append(self.scores_of(images).flatten())

    def compute(self) -> Tensor | dict[str, Tensor]:
        """Return all scores since the last reset: ``(N,)``, or a dict from prompt to scores."""
        return self.by_prompt(dim_zero_cat(self.scores).unflatten(0, (-1, len(self.questions))))

    def scores_of(self, images: Tensor) -> Tensor:
        """Return scores ``(N, C)`` of images in ``data_range``, a column for each prompt."""
        pixels = images / float(self.data_range) if isinstance(images, Tensor) else images  # the model refuses these
        return self.model(pixels, self.questions)

    def by_prompt(self, scores: Tensor) -> Tensor | dict[str, Tensor]:
        """Return scores ``(N, C)`` as torchmetrics does: squeezed, or as a dict from prompt to scores."""
        if len(self.questions) == 1:
            return scores.squeeze()
        return dict(zip(self.questions, scores.unbind(1), strict=True))

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> Any:
        """Return figure and axes of a plot of ``val``, by default of the result of :meth:`compute`."""
        return self._plot(val, ax)
