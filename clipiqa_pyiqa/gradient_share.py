"""The weight with which the gradient of a loss is a share of the gradient of the pixel loss beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import OVERSHOOT
from .errors import CLIPIQAError
from .text import reason_of, shown

PixelLoss = Callable[[Tensor, Tensor], Tensor]

BESIDE: dict[Any, PixelLoss] = {"l1": F.l1_loss, "mse": F.mse_loss}
"""Names of pixel losses."""

SMOOTHING = 0.9  # the part of the norms' means that each step keeps
NEAR_ZERO = 1e-15  # a norm below it gives no weight


class GradientShare:
    """The weight of a loss; it follows from both gradients' norms, smoothed over steps, and is 0 before the first.

    Args:
        pixel_loss: The loss beside it, a function of the prediction and the target; None if it is not used.
        input_range: The lowest and the highest value of images.
    """

    def __init__(self, pixel_loss: Any, input_range: tuple[float, float]) -> None:
        self.weight = 0.0
        self._pixel_loss = pixel_loss
        self._input_range = input_range
        self._norms = list[float]()  # smoothed: of the pixel loss's gradient and of the other loss's

    def update(self, share: float, pred: Tensor, target: Any, loss: Tensor, *, is_nan_refused: bool) -> None:
        """Take the norms of a batch into account; no batch exceeds the share.

        A batch without finite gradients leaves the weight as it is.

        Args:
            share: The wanted share.
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
            gradients = torch.autograd.grad(pixel_loss, leaf)
        except Exception as error:  # whatever a function of the caller's raises
            raise CLIPIQAError(
                "beside must be 'l1', 'mse' or a function, such as torch.nn.L1Loss(), of the prediction and the "
                f"target, which returns a scalar with a gradient: {reason_of(error)}."
            ) from error
        gradients += torch.autograd.grad(loss.mean(), pred, retain_graph=True)
        norms = [gradient.norm().item() for gradient in gradients]
        # the gradient of L1 is 0 where a clean pixel is NaN
        is_finite = math.isfinite(norms[0]) and math.isfinite(pixel_loss.item())
        if is_nan_refused and not is_finite:
            raise CLIPIQAError(
                "the pixel loss or its gradient is NaN or infinite, so the weight of this loss is unknown: check the "
                "clean images and the function `beside` for NaN, or pass nan='propagate', which keeps the last weight."
            )
        if not (is_finite and NEAR_ZERO < norms[1] < math.inf):
            return  # the weight stays
        self._norms = [SMOOTHING * a + (1 - SMOOTHING) * b for a, b in zip(self._norms or norms, norms, strict=True)]
        self.weight = share * min(pixel / of_loss for pixel, of_loss in (norms, self._norms))

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
