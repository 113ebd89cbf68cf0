"""CLIP-IQA as a training loss: lower is better, gradients reach the pixels, memory is flat in the batch.

``pyiqa.create_metric('clipiqa', as_loss=True)`` keeps pyiqa's contract instead: the mean score, where higher is better.
Which form to choose, and what it costs: ``docs/loss.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .clip.gradient import clamped, general_path, per_image
from .clip.resnet import MIN_SIDE
from .errors import CLIPIQAError, ImageError, PromptError, shown
from .head import margins, sigmoid
from .metric import CLIPIQA, Prompts

__all__ = ["FORMS", "CLIPIQALoss", "general_path"]

FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda margin: sigmoid(-margin),  # 1 - s
    "nll": lambda margin: -F.logsigmoid(margin),  # -log s
    "margin": lambda margin: -margin,  # logit of the negative prompt minus that of the positive one
}
"""Loss of one image and one prompt pair, from the margin: the pair's positive minus its negative logit."""

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    "none": lambda losses: losses,
}
OUT_OF_RANGE = ("clamp", "pass", "raise")
NAN = ("raise", "propagate")


class CLIPIQALoss(nn.Module):
    """How far an image is from looking like its positive prompts: to be minimised.

    Source: the scores are those of Wang et al., AAAI 2023 (https://arxiv.org/abs/2207.12396), Eqs. 2 and 3; with s the
    score of a prompt pair, ``'linear'`` is ``1 - s``, ``'nll'`` is ``-log s``, and ``'margin'`` is ``-logit(s)``, the
    difference of the two prompts' logits (CLIP's scale included).

    The network is frozen: the loss has no parameters, no buffers and an empty ``state_dict``, follows the device of its
    input, and needs no ``.to``. It computes in fp32 (convolutions in ``precision``), also under autocast.

    Args:
        prompts: as for :class:`~clipiqa_pyiqa.CLIPIQA`; the loss is the mean of the pairs' losses.
        form: ``'linear'``, ``'nll'`` or ``'margin'``.
        loss_weight: what the loss is multiplied by; not negative, since lower is better already.
        reduction: ``'mean'`` or ``'sum'`` over the batch, or ``'none'``: one loss per image, ``(N,)``.
        prompt_weights: a non-negative weight for each prompt pair; the loss is then their weighted mean.
        input_range: what the prediction's values stand for: ``(0, 1)``, or such as ``(-1, 1)`` or ``(0, 255)``.
        out_of_range: what is done to values outside. ``'clamp'`` scores the picture that would be saved, and gives
            values outside no gradient; ``'pass'`` scores them as they are, as pyiqa does, which a network can exploit;
            ``'raise'`` refuses them.
        crop: score a random square of this many pixels of each image (at most the whole side), from torch's CPU
            generator.
        nan: ``'raise'`` for a prediction with NaN or infinity, or ``'propagate'``: that image's loss and gradient
            become NaN, which a ``GradScaler`` takes for an overflow.
        double_backward: allow second derivatives, at the memory of every activation.
        metric: a :class:`~clipiqa_pyiqa.CLIPIQA` to use instead of a new one; then no options of the metric are taken.
        **options: the other options of :class:`~clipiqa_pyiqa.CLIPIQA`, such as ``model_type='clipiqa+'`` for learned
            prompts, ``backbone``, ``clip_weights``, ``precision``.

    Raises:
        CLIPIQAError: a ``ValueError``, for any option that cannot be honoured.

    Example:
        >>> loss = CLIPIQALoss(form="nll", loss_weight=0.1, backbone="mini")  # without a backbone: the paper's RN50
        >>> restored = torch.rand(2, 3, 64, 64, requires_grad=True)
        >>> loss(restored).backward()
        >>> restored.grad.abs().sum().item() > 0
        True
    """

    def __init__(
        self,
        prompts: Prompts = None,
        form: str = "linear",
        loss_weight: float = 1.0,
        reduction: str = "mean",
        *,
        prompt_weights: Sequence[float] | None = None,
        input_range: tuple[float, float] = (0.0, 1.0),
        out_of_range: str = "clamp",
        crop: int | None = None,
        nan: str = "raise",
        double_backward: bool = False,
        metric: CLIPIQA | None = None,
        **options: Any,
    ):
        super().__init__()
        self.form = _known("form", form, FORMS)
        self.reduction = _known("reduction", reduction, REDUCTIONS)
        self.out_of_range = _known("out_of_range", out_of_range, OUT_OF_RANGE)
        self.nan = _known("nan", nan, NAN)
        if not isinstance(double_backward, bool):
            raise CLIPIQAError(f"double_backward={shown(double_backward)} is not known: choose True or False.")
        self.loss_weight, self.double_backward = _loss_weight(loss_weight), double_backward
        self.input_range = _range(input_range)
        if metric is not None and (prompts is not None or options):
            raise CLIPIQAError("a ready metric has its own prompts and options: pass either metric or these.")
        metric = CLIPIQA(prompts=prompts, **options).eval() if metric is None else metric
        # Not a submodule: nothing of it is to be trained, moved, broadcast by DDP or saved.
        self.__dict__["metric"] = metric
        if metric.head is not None and (form != "linear" or prompt_weights is not None):
            raise CLIPIQAError("a fitted head has no logits and no prompts: use form='linear' without prompt_weights.")
        self.prompt_weights = _weights(prompt_weights, len(metric.prompts))
        if crop is not None and (not isinstance(crop, int) or crop < MIN_SIDE):
            raise CLIPIQAError(
                f"crop={shown(crop)} is not a crop's side: pass a whole number of at least {MIN_SIDE} px."
            )
        self.crop = crop

    metric: CLIPIQA

    @torch.compiler.disable  # the gradient computed while going forward cannot be traced: the graph breaks here, once
    def forward(self, pred: Tensor, target: Any = None, weight: Any = None) -> Tensor:
        """The loss of a batch.

        Args:
            pred: what a network made, ``(N, 3, H, W)`` RGB in ``input_range``, of any size from 32 px.
            target, weight: not used; they let a trainer call every loss alike.

        Returns:
            The loss, fp32 (float64 for float64 images): a scalar, or ``(N,)`` with ``reduction='none'``.

        Raises:
            ImageError: a prediction that cannot be scored.
        """
        try:
            self.metric.check(pred, finite=self.nan == "raise")
        except ImageError as error:
            raise ImageError(f"CLIPIQALoss cannot use the prediction: {error}") from None
        images = self._prepare(pred)
        head = self.metric.head
        if head is not None:  # its share of the range is high where its people see a good photo, whatever their scale
            return self._reduced(lambda images: 1 - head(self.metric.encode_unchecked(images))[:, 0], images)
        texts = self.metric.encode_prompts(dtype=torch.promote_types(images.dtype, torch.float32)).detach()

        def losses(images: Tensor) -> Tensor:
            margin = margins(
                self.metric.encode_unchecked(images), texts.to(images.device), self.metric.clip.logit_scale
            )
            return FORMS[self.form](margin) @ self.prompt_weights.to(margin)  # (n, P) -> (n,)

        return self._reduced(losses, images)

    def _reduced(self, losses: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        double = general_path() if self.double_backward else nullcontext()
        with double, torch.autocast(images.device.type, enabled=False):
            return self.loss_weight * REDUCTIONS[self.reduction](per_image(losses, images))

    def extra_repr(self) -> str:
        own = ("form", "loss_weight", "reduction", "input_range", "out_of_range", "crop", "nan", "double_backward")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in own) + f", {self.metric.extra_repr()}"

    def _prepare(self, pred: Tensor) -> Tensor:
        """Pixels in [0, 1], cropped."""
        low, high = self.input_range
        if self.out_of_range == "raise" and (pred.amin() < low or pred.amax() > high):
            raise ImageError(
                f"CLIPIQALoss expects values in [{low:g}, {high:g}], but the prediction has {pred.amin():.4g} to "
                f"{pred.amax():.4g}: clamp it, or pass out_of_range='clamp' or 'pass'."
            )
        images = pred if self.crop is None else _random_crops(pred, self.crop)
        if self.out_of_range == "clamp":
            images = clamped(images, low, high)
        return images if (low, high) == (0.0, 1.0) else (images - low) / (high - low)


def _random_crops(images: Tensor, side: int) -> Tensor:
    """A square of each image, ``side`` pixels or the whole side where that is less."""
    height, width = (min(side, size) for size in images.shape[-2:])
    tops = torch.randint(images.shape[-2] - height + 1, (len(images),), device="cpu").tolist()
    lefts = torch.randint(images.shape[-1] - width + 1, (len(images),), device="cpu").tolist()
    return torch.stack(
        [
            image[:, top : top + height, left : left + width]
            for image, top, left in zip(images, tops, lefts, strict=True)
        ]
    )


def _known(option: str, value: Any, choices: Any) -> str:
    if not isinstance(value, str) or value not in choices:
        raise CLIPIQAError(f"{option}={shown(value)} is not known: choose one of {', '.join(map(repr, choices))}.")
    return value


def _loss_weight(weight: Any) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise CLIPIQAError(
            f"loss_weight={shown(weight)} is no weight: pass a finite number that is not negative, such as 0.1 "
            "(YAML reads 1e-1 as text)."
        )
    return weight


def _range(input_range: Sequence[float]) -> tuple[float, float]:
    try:
        low, high = (float(bound) for bound in input_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high:
        raise CLIPIQAError(f"input_range={shown(input_range)} is no range: pass (low, high), such as (-1, 1).")
    return low, high


def _weights(weights: Sequence[float] | None, pairs: int) -> Tensor:
    """Weights of the prompt pairs, adding up to one; float64 on the CPU."""
    if weights is None:
        return torch.full((pairs,), 1 / pairs, dtype=torch.float64, device="cpu")
    try:
        values = torch.tensor(weights, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError):
        raise PromptError(f"prompt_weights={shown(weights)} are no numbers: pass one for each prompt pair.") from None
    if values.shape != (pairs,):
        raise PromptError(f"{values.numel()} prompt_weights came for {pairs} prompt pairs: pass one for each pair.")
    if not (values.isfinite().all() and values.min() >= 0 and values.sum() > 0):
        raise PromptError(f"prompt_weights={shown(weights)} must be finite and not negative, with one above zero.")
    return values / values.sum()
