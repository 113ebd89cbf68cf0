"""An error for second derivatives where gradients are computed in the forward pass and so have none."""

from typing import Any

import torch
from torch import Tensor

from ..errors import CLIPIQAError


def anchor_of(x: Tensor) -> Tensor:
    """Return an empty tensor that links second derivatives to ``x`` without keeping ``x`` in memory.

    torch differentiates a backward pass only if one of its inputs needs a gradient. A gradient that is a constant has
    no such input but the anchor.
    """
    return x[:0].clone()


def forbid_double_backward(gradient: Tensor, anchor: Tensor) -> Tensor:
    """Return a gradient whose derivative raises; with ``anchor`` (:func:`anchor_of`), also for a constant gradient."""
    return _ForbidDoubleBackward.apply(gradient, anchor) if torch.is_grad_enabled() else gradient


class _ForbidDoubleBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, anchor: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> None:
        raise CLIPIQAError(
            "a second derivative of scores needs another computation: use the loss with double_backward=True, or call "
            "the network inside clipiqa_pyiqa.loss.general_path()."
        )
