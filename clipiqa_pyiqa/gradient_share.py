"""The weight with which the gradient of a loss is a share of the gradient of the pixel loss beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import OVERSHOOT, check_number
from .errors import CLIPIQAError, OptionError, warn_caller
from .text import reason_of, shown

PixelLoss = Callable[[Tensor, Tensor], Tensor]

BESIDE: dict[Any, PixelLoss] = {"l1": F.l1_loss, "mse": F.mse_loss}
"""Names of pixel losses."""

SMOOTHING = 0.9  # the part of the norms' means that each step keeps
NEAR_ZERO = 1e-15  # a norm below it gives no weight


def check_share(share: float | None, beside: Any, loss_weight: float) -> None:
    """Raise unless ``share`` and ``beside`` are given together, and then without ``loss_weight``; or neither."""
    if share is not None:
        check_number("share", share)
    is_named = isinstance(beside, str) and beside in BESIDE
    if beside is not None and not is_named and not callable(beside):
        raise OptionError(
            f"beside must be 'l1', 'mse' or a function of the prediction and the target; got {shown(beside)}.",
            options=("beside",),
        )
    if share is None and beside is None:
        return
    if share is None or beside is None or share <= 0 or loss_weight != 1:
        raise CLIPIQAError(
            "share, a fraction above 0 such as 0.3 for 30 %, and beside, the pixel loss ('l1', 'mse' or a function), "
            f"go together and without loss_weight; got share={share}, beside={shown(beside)}, "
            f"loss_weight={loss_weight}."
        )
    if share > 1:
        warn_caller(
            f"share={share:g} lets the gradient of CLIPIQALoss be {share:g} times as large as the pixel loss's; for "
            "30 %, write share=0.3."
        )


class GradientShare:
    """The weight of a loss; it follows from both gradients' norms, smoothed over steps, and is 0 before the first.

    Args:
        share: The wanted share; no batch exceeds it.
        beside: The pixel loss: a name in ``BESIDE``, or a function of the prediction and the target.
        input_range: The lowest and the highest value of images.
    """

    def __init__(self, share: float, beside: Any, input_range: tuple[float, float]) -> None:
        self.weight = 0.0
        self._share = share
        self._pixel_loss: Any = BESIDE.get(beside, beside)
        self._input_range = input_range
        self._norms = list[float]()  # smoothed: of the pixel loss's gradient and of the other loss's

    def update(self, pred: Tensor, target: Any, loss: Tensor, *, is_nan_refused: bool) -> None:
        """Take the norms of a batch into account; a batch without finite gradients leaves the weight as it is.

        Args:
            pred: The prediction, from which ``loss`` was computed.
            target: The clean images, of the prediction's shape.
            is_nan_refused: Raise ``CLIPIQAError`` if the pixel loss or its gradient is not finite.
        """
        self._check_target(target, pred)
        leaf = pred.detach().requires_grad_()
        if isinstance(self._pixel_loss, nn.Module):
            self._pixel_loss.to(pred.device)
        try:
            pixel_loss = self._pixel_loss(leaf, target.to(pred.dtype))
            (of_pixel_loss,) = torch.autograd.grad(pixel_loss, leaf)
        except Exception as error:  # whatever a function of the caller's raises
            raise CLIPIQAError(
                "beside must be 'l1', 'mse' or a function, such as torch.nn.L1Loss(), of the prediction and the "
                f"target, which returns a scalar with a gradient: {reason_of(error)}."
            ) from error
        (of_loss,) = torch.autograd.grad(loss.mean(), pred, retain_graph=True)
        norms = [of_pixel_loss.norm().item(), of_loss.norm().item()]
        # the gradient of L1 is 0 where a clean pixel is NaN
        is_finite = math.isfinite(norms[0]) and math.isfinite(pixel_loss.item())
        if is_nan_refused and not is_finite:
            raise CLIPIQAError(
                "the pixel loss or its gradient is NaN or infinite, so the weight of this loss is unknown: check the "
                "clean images and the function `beside` for NaN, or pass nan='propagate', which keeps the last weight."
            )
        if not (is_finite and NEAR_ZERO < norms[1] < math.inf):
            return
        self._norms = [SMOOTHING * a + (1 - SMOOTHING) * b for a, b in zip(self._norms or norms, norms, strict=True)]
        self.weight = self._share * min(pixel / own for pixel, own in (norms, self._norms))

    def _check_target(self, target: Any, pred: Tensor) -> None:
        """Raise unless the target has the prediction's shape and, as far as its values tell, the input range."""
        if getattr(target, "shape", None) != pred.shape:
            raise CLIPIQAError(
                f"CLIPIQALoss with share needs the target too, of shape {tuple(pred.shape)}: criterion(restored, "
                f"clean); got {shown(getattr(target, 'shape', target))}."
            )
        low, high = self._input_range
        if not target.is_floating_point():
            raise CLIPIQAError(
                f"the clean images must be floats in [{low:g}, {high:g}], as the prediction; got {target.dtype}: "
                "convert them, 8-bit images by clean.float() / 255."
            )
        lowest, highest = map(float, target.aminmax())
        tolerance = OVERSHOOT * (high - low)
        if lowest < low - tolerance or highest > high + tolerance:  # NaN passes: see `is_nan_refused`
            raise CLIPIQAError(
                f"the clean images must be in [{low:g}, {high:g}], as the prediction; got {lowest:.4g} to "
                f"{highest:.4g}: bring them into that range, or pass the range of both as input_range."
            )
