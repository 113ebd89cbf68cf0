"""CLIP-IQA as a training loss: lower is better.

In: what a network restored or generated, ``(N, 3, H, W)`` in ``input_range``. Out: a scalar, or with
``reduction='none'`` one value per image. The loss falls as images look more like the positive prompts, and its gradient
reaches their pixels::

    criterion = CLIPIQALoss("quality", loss_weight=0.1)
    (l1_loss(restored, clean) + criterion(restored)).backward()
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import MIN_SIDE, OVERSHOOT, check_number, check_one_of, check_truth, check_whole_or_none
from .clip.arithmetic import at_least_fp32, clamped, sigmoid
from .clip.gradient import general_path, needs_gradient, per_image, untraceable
from .clip.pixels import ANY_RANGE
from .errors import CLIPIQAError, OptionError, PromptError, warn_caller
from .gradient_share import GradientShare, PixelLoss, check_share
from .metric import CLIPIQA
from .options import CLIPIQAOptions, lists_options
from .prompts.pairs import Prompts, averaged_pairs, only_pairs
from .text import hint_for, shown

__all__ = ["FORMS", "CLIPIQALoss", "general_path"]

Form = Literal["linear", "nll", "margin"]

FORMS: dict[Form, Callable[[Tensor], Tensor]] = {
    "linear": lambda margin: sigmoid(-margin),  # 1 - s
    "nll": lambda margin: -F.logsigmoid(margin),  # -log s
    "margin": lambda margin: -margin,  # the negative logit minus the positive logit
}
"""Functions from the margin of one image and one prompt pair to the loss.

The margin is the positive prompt's logit minus the negative prompt's logit.
"""

_CHECKED_BATCHES = 20  # number of first batches whose range is checked


class CLIPIQALoss(nn.Module):
    """Training loss that is low for images that look like the positive prompts.

    Source: Wang et al., AAAI 2023 (https://arxiv.org/abs/2207.12396), Eqs. 2 and 3. Source of local scores: Zhou, Loy,
    Dai, ECCV 2022 (https://arxiv.org/abs/2112.01071).

    The loss has no parameters. It computes on the images' device, in fp32 (convolutions in ``precision``), also under
    autocast.

    Args:
        prompts: as for :class:`~clipiqa_pyiqa.CLIPIQA`; the loss is the mean over pairs.
        form: loss for a pair's score s: ``'linear'`` is ``1 - s``, ``'nll'`` is ``-log s``, ``'margin'`` is
            ``-logit(s)``.
        loss_weight: factor of the loss, 0 or more.
        reduction: ``'mean'`` or ``'sum'`` over images, or ``'none'``.
        local: average the losses of all places of :meth:`~clipiqa_pyiqa.CLIPIQA.score_map`.
        prompt_weights: a weight for each pair in the mean, 0 or more; default: equal ones.
        input_range: lowest and highest value of the prediction, such as ``(0, 1)`` or ``(-1, 1)``. Other values are
            clamped and get no gradient.
        crop: side in pixels of a random square to score; a shorter side is scored whole. Default: the whole image.
        nan: ``'raise'`` raises ``ImageError`` for NaN or infinity; ``'propagate'`` makes that image's loss and gradient
            NaN, for a ``GradScaler``.
        double_backward: allow second derivatives, and keep every activation in memory.
        share: in place of ``loss_weight``: the most that the norm of the loss's gradient with respect to the
            prediction may be, as a fraction of the norm of the pixel loss's gradient: 0.3 is 30 %. The weight follows
            from both norms over the batch, smoothed over steps, so a batch may get less, and none gets more.
        beside: with ``share``, the pixel loss to which this loss is added: ``'l1'``, ``'mse'``, or a function of the
            prediction and the target.
        metric: a ready :class:`~clipiqa_pyiqa.CLIPIQA`, in place of ``prompts`` and ``options``.
        criterion: a metric of :mod:`clipiqa_pyiqa.family`, only with ``form='linear'``. The loss is the distance from
            the highest score, as a share of the score range.
        **options: options of :class:`~clipiqa_pyiqa.CLIPIQA`.

    Raises:
        CLIPIQAError: arguments cannot be used, alone or together.

    Example:
        >>> images = torch.rand(2, 3, 64, 64, requires_grad=True)
        >>> CLIPIQALoss("quality", backbone="mini")(images).backward()
        >>> images.grad.shape
        torch.Size([2, 3, 64, 64])
    """

    metric: Any  # a CLIPIQA, or a metric of the family
    share: Any

    @lists_options(CLIPIQAOptions, of=CLIPIQA)
    def __init__(
        self,
        prompts: Prompts = None,
        form: Form = "linear",
        loss_weight: float = 1.0,
        reduction: Literal["mean", "sum", "none"] = "mean",
        *,
        local: bool = False,
        prompt_weights: Sequence[float] | None = None,
        input_range: Sequence[float] = (0.0, 1.0),
        crop: int | None = None,
        nan: Literal["raise", "propagate"] = "raise",
        double_backward: bool = False,
        share: float | None = None,
        beside: Literal["l1", "mse"] | PixelLoss | None = None,
        metric: CLIPIQA | None = None,
        criterion: Any = None,
        **options: Unpack[CLIPIQAOptions],
    ):
        check_one_of("form", form, FORMS)
        check_one_of("reduction", reduction, ("mean", "sum", "none"))
        check_one_of("nan", nan, ("raise", "propagate"))
        check_number("loss_weight", loss_weight, least=0)
        check_whole_or_none("crop", crop, least=MIN_SIDE)
        check_truth("local", local)
        check_truth("double_backward", double_backward)
        check_share(share, beside, loss_weight)
        super().__init__()
        self.form, self.reduction, self.loss_weight = form, reduction, loss_weight
        self.local, self.crop, self.nan = local, crop, nan
        self.double_backward, self.share = double_backward, share
        self.input_range = _range_of(input_range)
        self._gradient_share = GradientShare(share or 0.0, beside, self.input_range)
        self._checks_left = _CHECKED_BATCHES
        self._has_warned_of_gradient = False
        ready = _ready_metric(metric, criterion, prompts, options)
        if ready is None:
            _check_before_download(prompts, prompt_weights, options)
            ready = CLIPIQA(prompts=prompts, **options).eval()
        # Neither is a submodule: their tensors must not be trained, moved, broadcast by DDP or saved.
        self.__dict__.update(metric=ready, beside=beside)
        if criterion is not None or self.metric.head is not None:
            if form != "linear" or prompt_weights is not None or local:
                raise CLIPIQAError(
                    "a criterion or a fitted head has no prompts: use form='linear', without prompt_weights and local."
                )
        else:
            pairs = only_pairs(self.metric.prompts, "CLIPIQALoss")
            self.prompt_weights = _shares_of_pairs(prompt_weights, len(pairs))
        if local:
            self.metric.check_map()

    @untraceable  # the gradient in the forward pass cannot be traced
    def forward(self, pred: Tensor, target: Any = None) -> Tensor:
        """Return the loss, a scalar or ``(N,)``, in fp32 (float64 for float64 images).

        Args:
            pred: RGB ``(N, 3, H, W)`` or grey ``(N, 1, H, W)`` in ``input_range``, both sides at least 32 px.
            target: the clean images, of the prediction's shape and in ``input_range``; only used with ``share``.

        Raises:
            ImageError: the prediction has a wrong shape or dtype or is too small, or has NaN with ``nan='raise'``.
            CLIPIQAError: with ``share``, the target or the pixel loss cannot be used.
        """
        self.metric.check(pred, ANY_RANGE if self.nan == "raise" else None)
        if getattr(target, "requires_grad", False):
            raise CLIPIQAError("the clean images, which come second, have a gradient: call criterion(restored, clean).")
        if self.share:
            # Gradients of fp16 would be subnormal; hooks of the prediction see only the sum.
            pred = at_least_fp32(pred).view_as(pred)
        nan_factors = None
        if self.nan == "propagate":
            pred, nan_factors = self._without_nan(pred)
        self._warn_of_range(pred)
        images = self._images_to_score(pred)
        path = general_path() if self.double_backward else nullcontext()
        with path, torch.autocast(images.device.type, enabled=False):
            losses = per_image(self._losses, images)
            if nan_factors is not None:
                losses = losses * nan_factors
            loss = losses if self.reduction == "none" else getattr(losses, self.reduction)()  # mean or sum
            if self.share and needs_gradient(pred):
                self._gradient_share.update(pred, target, loss, is_nan_refused=self.nan == "raise")
            elif self.share:
                self._warn_of_missing_gradient()
            return self.last_weight * loss

    @property
    def last_weight(self) -> float:
        """Factor of the loss at the last call, for a logger.

        With ``share``, it is 0 until a call has a gradient, and a call without one, as under ``torch.no_grad``, keeps
        it. ``criterion.metric(images)`` gives scores at any time, for images in [0, 1].
        """
        return self._gradient_share.weight if self.share else self.loss_weight

    def extra_repr(self) -> str:
        weights = ("loss_weight",) if self.share is None else ("share", "beside")
        names = ("form", "local", *weights, "reduction", "input_range", "crop", "nan")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names) + f", {self.metric.extra_repr()}"

    def _losses(self, images: Tensor) -> Tensor:
        """Return the loss of each image in [0, 1], ``(N,)``."""
        if not isinstance(self.metric, CLIPIQA):
            low, high = self.metric.score_range
            return (high - self.metric(images).flatten()) / (high - low)
        if self.metric.head is not None:  # its call returns shares of the score range, high for good photos
            return 1 - self.metric.head(self.metric.encode_unchecked(images))[:, 0]
        texts = self.metric.encode_prompts(dtype=torch.promote_types(images.dtype, torch.float32)).detach()
        margins = self.metric.margins_unchecked(images, texts, self.local)  # (N, places, P)
        return (FORMS[self.form](margins) @ self.prompt_weights.to(margins)).mean(1)

    def _images_to_score(self, pred: Tensor) -> Tensor:
        """Return the prediction in [0, 1], or a random square of each image."""
        low, high = self.input_range
        if self.crop is not None:
            from torchvision.transforms.v2 import RandomCrop  # imports torch's compiler, which takes two seconds

            crop = RandomCrop([min(self.crop, length) for length in pred.shape[-2:]])
            with torch.device("cpu"):
                pred = torch.stack([crop(image) for image in pred])
        return (clamped(pred, low, high) - low) / (high - low)

    def _without_nan(self, pred: Tensor) -> tuple[Tensor, Tensor]:
        """Return the prediction, black where an image has NaN, and factors of losses ``(N,)``: NaN there, else 1.

        The factors also make all of such an image's gradient NaN, even where its pixels are clamped.
        """
        is_finite = pred.detach().isfinite().flatten(1).all(1)
        factors = torch.where(is_finite, 1.0, math.nan).to(pred.dtype)
        with_nan_gradient = pred * factors.view(-1, 1, 1, 1)
        return torch.where(is_finite.view(-1, 1, 1, 1), with_nan_gradient, self.input_range[0]), factors

    def _warn_of_range(self, pred: Tensor) -> None:
        """Warn, at one of the first calls, if the prediction leaves ``input_range``."""
        if not self._checks_left:
            return
        self._checks_left -= 1
        low, high = self.input_range
        lowest, highest = map(float, pred.detach().aminmax())
        tolerance = OVERSHOOT * (high - low)
        if lowest >= low - tolerance and highest <= high + tolerance:
            return
        self._checks_left = 0
        share_outside = ((pred < low) | (pred > high)).float().mean().item()
        if lowest >= 0 and 2 < highest <= 255:
            advice = "Divide 8-bit values by 255, or pass input_range=(0, 255)."
        else:
            advice = "If the network's range is another, pass it as input_range, such as (-1, 1)."
        warn_caller(
            f"CLIPIQALoss expects values in [{low:g}, {high:g}]; got {lowest:.4g} to {highest:.4g}: "
            f"{share_outside:.1%} are clamped and get no gradient. {advice}"
        )

    def _warn_of_missing_gradient(self) -> None:
        """Warn at the first call whose prediction has no gradient, unless torch computes none."""
        if self._has_warned_of_gradient or not torch.is_grad_enabled():
            return
        self._has_warned_of_gradient = True
        warn_caller(
            "the prediction of CLIPIQALoss has no gradient, so the loss trains nothing and share has no effect: pass "
            "the network's output without detach(), or use torch.no_grad() where you validate."
        )


def _range_of(input_range: Sequence[float]) -> tuple[float, float]:
    try:
        low, high = map(float, input_range)
    except (TypeError, ValueError, OverflowError):
        low, high = 0.0, 0.0
    if not 0 < high - low < math.inf:  # of an endless range every image would be the same point
        raise CLIPIQAError(
            f"input_range must be two finite numbers, low below high, such as (-1, 1); got {shown(input_range)}."
        )
    return low, high


def _ready_metric(metric: Any, criterion: Any, prompts: Prompts, options: Mapping[str, Any]) -> Any:
    """Return the metric that the caller passes, or None if a new CLIP-IQA is asked for."""
    ready = criterion if metric is None else metric
    if ready is not None and (prompts is not None or options or None not in (metric, criterion)):
        raise CLIPIQAError("pass only one of these: metric, criterion, or prompts with other options of CLIPIQA.")
    if metric is not None and not isinstance(metric, CLIPIQA):
        raise CLIPIQAError(f"metric must be a CLIPIQA, such as CLIPIQA(backbone='mini'); got {shown(metric)}.")
    if criterion is not None and (not hasattr(criterion, "answer") or criterion.has_captions):
        raise CLIPIQAError("criterion must be a metric of clipiqa_pyiqa.family that needs no captions.")
    return ready


def _check_before_download(
    prompts: Prompts, prompt_weights: Sequence[float] | None, options: Mapping[str, Any]
) -> None:
    """Raise for options of a new metric that cannot be used, before CLIP's weights are downloaded."""
    known = inspect.signature(CLIPIQALoss).parameters
    for option in options:
        if option not in known:
            raise OptionError(f"CLIPIQALoss has no option {option!r}: {hint_for(option, known)}")
    pairs = averaged_pairs(prompts, options, "CLIPIQALoss")
    _shares_of_pairs(prompt_weights, len(pairs))


def _shares_of_pairs(weights: Sequence[float] | None, count: int) -> Tensor:
    """Return the share of each pair in the loss; their sum is 1."""
    try:
        given = [1.0] * count if weights is None else weights
        values = torch.tensor(given, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError):
        values = torch.empty(0)
    if values.shape != (count,) or not (values.isfinite().all() and values.min() >= 0 and values.sum() > 0):
        raise PromptError(
            f"prompt_weights must be {count} finite numbers, one for each prompt pair, at least 0 and not all 0; "
            f"got {shown(weights)}."
        )
    return values / values.sum()
