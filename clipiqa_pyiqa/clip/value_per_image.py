"""One value per image, whose gradient is computed in the forward pass."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from .arithmetic import at_least_fp32
from .gradient import is_gradient_in_forward
from .groups import groups
from .second_derivative import anchor_of, forbid_double_backward


def per_image(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ``function(x)``, one value per image; the gradient is computed in the forward pass, in fp32 or wider."""
    if is_gradient_in_forward(x):
        return _GradientInForward.apply(x, anchor_of(x), function)
    return function(x)


class _GradientInForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        gradient = torch.empty_like(x, dtype=torch.promote_types(x.dtype, torch.float32))
        values = list[Tensor]()
        start = 0  # the number of the group's first image
        # Hooks of activation checkpoints or offloading around this call must not see tensors that are freed here.
        with (
            torch.enable_grad(),
            torch.autocast(x.device.type, enabled=False),
            saved_tensors_hooks(_unchanged, _unchanged),
        ):
            for group in groups(x):
                stop = start + len(group)
                leaf = at_least_fp32(group.detach()).requires_grad_()
                value = function(leaf)
                gradient[start:stop] = torch.autograd.grad(value.sum(), leaf)[0]
                values.append(value.detach())
                start = stop
        ctx.save_for_backward(gradient, anchor)
        ctx.dtype = x.dtype
        return torch.cat(values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        gradient, anchor = ctx.saved_tensors
        of_images = (gradient * upstream.view(-1, 1, 1, 1)).to(ctx.dtype)
        return forbid_double_backward(of_images, anchor), None, None


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor
