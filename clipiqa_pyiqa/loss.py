"""CLIP-IQA as a training loss: lower is better, gradients reach the pixels, memory is flat in the batch.

``pyiqa.create_metric('clipiqa', as_loss=True)`` keeps pyiqa's contract instead: the mean score, where higher is better.
Which form to choose, and what it costs: ``docs/loss.md``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .clip.gradient import clamped, general_path, per_image, untraceable
from .clip.inputs import ANY_RANGE, OVERSHOOT
from .clip.resnet import MIN_SIDE
from .errors import CLIPIQAError, ImageError, PromptError, shown
from .errors.arguments import checked
from .metric import CLIPIQA
from .prompts.antonym import margins, sigmoid
from .prompts.pairs import Prompts

__all__ = ["FORMS", "CLIPIQALoss", "general_path"]

Form = Literal["linear", "nll", "margin"]
Reduction = Literal["mean", "sum", "none"]
OutOfRange = Literal["clamp", "pass", "raise"]
OnNaN = Literal["raise", "propagate"]

FORMS: dict[Form, Callable[[Tensor], Tensor]] = {
    "linear": lambda margin: sigmoid(-margin),  # 1 - s
    "nll": lambda margin: -F.logsigmoid(margin),  # -log s
    "margin": lambda margin: -margin,  # logit of the negative prompt minus that of the positive one
}
"""Loss of one image and one prompt pair, from the margin: the pair's positive minus its negative logit."""

REDUCTIONS: dict[Reduction, Callable[[Tensor], Tensor]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    "none": lambda losses: losses,
}
_LOOKS = 20  # predictions whose range is looked at


class CLIPIQALoss(nn.Module):
    """How far an image is from looking like its positive prompts: to be minimised.

    Source: the scores are those of Wang et al., AAAI 2023 (https://arxiv.org/abs/2207.12396), Eqs. 2 and 3; with s the
    score of a prompt pair, ``'linear'`` is ``1 - s``, ``'nll'`` is ``-log s``, and ``'margin'`` is ``-logit(s)``, the
    difference of the two prompts' logits (CLIP's scale included). Local scores: Zhou, Loy, Dai, ECCV 2022
    (https://arxiv.org/abs/2112.01071).

    The network is frozen: the loss has no parameters, no buffers and an empty ``state_dict``, follows the device of its
    input, and needs no ``.to``. It computes in fp32 (convolutions in ``precision``), also under autocast.

    Args:
        prompts: as for :class:`~clipiqa_pyiqa.CLIPIQA`; the loss is the mean of the pairs' losses.
        form: ``'linear'``, ``'nll'`` or ``'margin'``.
        loss_weight: what the loss is multiplied by; not negative, since lower is better already.
        reduction: ``'mean'`` or ``'sum'`` over the batch, or ``'none'``: one loss per image, ``(N,)``.
        local: the mean of the losses of an image's places (:meth:`~clipiqa_pyiqa.CLIPIQA.score_map`) instead of the
            image's own: damage in one corner then counts, and a good corner cannot make up for it.
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
        criterion: a metric of :mod:`clipiqa_pyiqa.family` instead: the loss is how far its score is below the top of
            its range, as a share of the range. Only ``form='linear'``.
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

    @checked
    def __init__(
        self,
        prompts: Prompts = None,
        form: Form = "linear",
        loss_weight: float = 1.0,
        reduction: Reduction = "mean",
        *,
        local: bool = False,
        prompt_weights: Sequence[float] | None = None,
        input_range: Sequence[float] = (0.0, 1.0),
        out_of_range: OutOfRange = "clamp",
        crop: int | None = None,
        nan: OnNaN = "raise",
        double_backward: bool = False,
        metric: CLIPIQA | None = None,
        criterion: Any = None,
        **options: Any,
    ):
        super().__init__()
        self.form: Form = _known("form", form, Form)
        self.reduction: Reduction = _known("reduction", reduction, Reduction)
        self.out_of_range: OutOfRange = _known("out_of_range", out_of_range, OutOfRange)
        self.nan: OnNaN = _known("nan", nan, OnNaN)
        self.double_backward, self.local = double_backward, local
        self.loss_weight = _loss_weight(loss_weight)
        self.input_range, self._looks = _range(input_range), _LOOKS
        if metric is not None and (prompts is not None or options):
            raise CLIPIQAError("a ready metric has its own prompts and options: pass either metric or these.")
        if criterion is not None:
            if metric is not None or prompts is not None or options or prompt_weights is not None or local:
                raise CLIPIQAError("a criterion has its own texts and options: pass it without any of the metric's.")
            if form != "linear" or not hasattr(criterion, "encode_unchecked") or not hasattr(criterion, "answer"):
                raise CLIPIQAError("criterion must be a metric of clipiqa_pyiqa.family, with form='linear'.")
            if criterion.takes_captions:
                raise CLIPIQAError("criterion must be a metric of images alone; clipscore needs captions.")
        self.__dict__["criterion"] = criterion
        if criterion is not None:
            self.__dict__["metric"] = criterion
            self.crop = _crop(crop)
            return
        metric = CLIPIQA(prompts=prompts, **options).eval() if metric is None else metric
        # Not a submodule: nothing of it is to be trained, moved, broadcast by DDP or saved.
        self.__dict__["metric"] = metric
        if metric.head is not None and (form != "linear" or prompt_weights is not None):
            raise CLIPIQAError("a fitted head has no logits and no prompts: use form='linear' without prompt_weights.")
        self.prompt_weights = _weights(prompt_weights, len(metric.prompts))
        if local and metric.head is not None:
            raise CLIPIQAError("a fitted head scores whole images, so its loss cannot be local: use prompts.")
        if local:
            metric.check_map()
        self.crop = _crop(crop)

    metric: CLIPIQA
    criterion: Any

    @untraceable  # the gradient computed while going forward cannot be traced: the graph breaks here, once
    def forward(self, pred: Tensor, target: Any = None, weight: Any = None) -> Tensor:
        """The loss of a batch.

        Args:
            pred: what a network made, ``(N, 3, H, W)`` RGB in ``input_range``, of any size from 32 px; or grey
                ``(N, 1, H, W)``, which counts as three equal channels.
            target, weight: not used; they let a trainer call every loss alike.

        Returns:
            The loss, fp32 (float64 for float64 images): a scalar, or ``(N,)`` with ``reduction='none'``.

        Raises:
            ImageError: a prediction that cannot be scored.
        """
        try:
            self.metric.check(pred, ANY_RANGE if self.nan == "raise" else None)
        except ImageError as error:
            raise ImageError(f"CLIPIQALoss cannot use the prediction: {error}") from None
        images = self._prepare(pred)
        if self.criterion is not None:
            low, high = self.criterion.score_range
            return self._reduced(lambda x: (high - self.criterion(x).flatten()) / (high - low), images)
        head = self.metric.head
        if head is not None:  # its share of the range is high where its people see a good photo, whatever their scale
            return self._reduced(lambda images: 1 - head(self.metric.encode_unchecked(images))[:, 0], images)
        texts = self.metric.encode_prompts(dtype=torch.promote_types(images.dtype, torch.float32)).detach()

        def losses(images: Tensor) -> Tensor:
            features = self._places(images) if self.local else self.metric.encode_unchecked(images)
            margin = margins(features, texts.to(images.device), self.metric.clip.logit_scale)
            each = FORMS[self.form](margin) @ self.prompt_weights.to(margin)  # (n h w, P) -> (n h w,)
            return each.view(len(images), -1).mean(1)

        return self._reduced(losses, images)

    def _places(self, images: Tensor) -> Tensor:
        """Features of all places, image by image: ``(n h w, D)``."""
        cells = self.metric.encode_map_unchecked(images)
        return cells.permute(0, 2, 3, 1).flatten(0, 2)  # (n, D, h, w) -> (n h w, D)

    def _reduced(self, losses: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        double = general_path() if self.double_backward else nullcontext()
        with double, torch.autocast(images.device.type, enabled=False):
            return self.loss_weight * REDUCTIONS[self.reduction](per_image(losses, images))

    def _warn_far_outside(self, pred: Tensor) -> None:
        """Say once that most of a picture may be clipped, and so without gradient: 0 to 255 passed for 0 to 1."""
        (low, high), (least, most) = self.input_range, map(float, pred.aminmax())
        margin = OVERSHOOT * (high - low)
        if least < low - margin or most > high + margin:
            self._looks = 0
            clipped = ((pred < low) | (pred > high)).float().mean().item()
            likely = (-1, 1) if least > -1.5 and most < 1.5 else (0, 255) if least > -16 and 16 < most < 272 else None
            hint = f"Is input_range={likely} meant?" if likely else "Pass the network's range as input_range."
            warnings.warn(
                f"CLIPIQALoss expects values in [{low:g}, {high:g}], but they reach from {least:.4g} to {most:.4g}: "
                f"{clipped:.1%} of them are clipped and get no gradient. {hint} This is said once.",
                stacklevel=4,
            )

    def extra_repr(self) -> str:
        own = (
            "form",
            "local",
            "loss_weight",
            "reduction",
            "input_range",
            "out_of_range",
            "crop",
            "nan",
            "double_backward",
        )
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in own) + f", {self.metric.extra_repr()}"

    def _prepare(self, pred: Tensor) -> Tensor:
        """Pixels in [0, 1], cropped."""
        low, high = self.input_range
        if self.out_of_range == "clamp" and self._looks:
            self._looks -= 1  # whoever passes the wrong range does so from the start
            self._warn_far_outside(pred.detach())
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


def _known(option: str, value: Any, choices: Any) -> Any:
    names = get_args(choices)
    if not isinstance(value, str) or value not in names:
        raise CLIPIQAError(f"{option}={shown(value)} is not known: choose one of {', '.join(map(repr, names))}.")
    return value


def _crop(crop: int | None) -> int | None:
    if crop is not None and crop < MIN_SIDE:
        raise CLIPIQAError(f"crop={shown(crop)} is not a crop's side: pass a whole number of at least {MIN_SIDE} px.")
    return crop


def _loss_weight(weight: Any) -> float:
    if weight < 0:
        raise CLIPIQAError(f"loss_weight must not be negative; got {weight}.")
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
