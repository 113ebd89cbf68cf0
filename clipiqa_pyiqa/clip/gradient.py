"""Gradients of frozen networks: made in the forward pass, image group by image group, so that memory stays flat."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache, partial, wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from ..errors import CLIPIQAError

try:
    from torch.utils._python_dispatch import _disable_current_modes
except ImportError:  # then a tower must be made before torch exports
    _disable_current_modes = nullcontext  # type: ignore[assignment]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Result = TypeVar("_Result")

GPU_GROUP_PIXELS = 1 << 22
"""Pixels per group on a GPU: sixteen images of 512×512. The value was not measured on a GPU."""

CPU_GROUP_PIXELS = 1 << 18
"""Pixels per group on a CPU; a larger image is a group alone. The value suits the cache of a CPU."""

CPU_SHARED_PIXELS = 224 * 224
"""From so many pixels, an image's score in a group is its score alone to the last bit; below, both differ by 1e-6."""

LARGE = 1 << 18
"""Pixels of an image from which the backward pass computes the stages of a network again, to save memory."""

_takes_general_path = ContextVar("general_path", default=False)


@contextmanager
def general_path() -> Iterator[None]:
    """Compute scores in this context by plain autograd, which allows second derivatives and takes more memory."""
    token = _takes_general_path.set(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        _takes_general_path.reset(token)


def needs_gradient(x: Tensor) -> bool:
    return torch.is_grad_enabled() and x.requires_grad


def is_traced() -> bool:
    """Return whether torch compiles or exports, so that no branch may depend on a tensor's values."""
    return torch.compiler.is_compiling()


def is_gradient_in_forward(x: Tensor) -> bool:
    """Return whether gradients of ``x`` are computed in the forward pass."""
    return needs_gradient(x) and not (is_traced() or _takes_general_path.get())


def groups(x: Tensor, cpu_pixels: int | None = None) -> tuple[Tensor, ...]:
    """Return a batch split into groups, one per pass; ``cpu_pixels``: how many pixels a group has on a CPU.

    On a CPU without a gradient, each small image is a group, so that its score does not depend on the batch.
    """
    if is_traced():
        return (x,)
    pixels = x.shape[-2] * x.shape[-1]
    if x.is_cpu and pixels < CPU_SHARED_PIXELS and not needs_gradient(x):
        return x.split(1)
    group_pixels = (cpu_pixels or CPU_GROUP_PIXELS) if x.is_cpu else GPU_GROUP_PIXELS
    return x.split(max(1, group_pixels // pixels))


def recomputed(function: Callable[..., _Result], x: Tensor, *args: Any) -> _Result:
    """Return ``function(x, …)``; if a gradient is needed, the backward pass computes it again, to save memory."""
    if is_gradient_in_forward(x):
        return checkpoint(function, x, *args, use_reentrant=False, preserve_rng_state=False)
    return function(x, *args)


def per_image(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ``function(x)``, one value per image; the gradient is computed in the forward pass, in fp32 or wider.

    So the activations of one group are in memory at a time, however large the batch is. A forward pass of images that
    require a gradient costs its backward pass too, even if nobody asks for it; ``torch.no_grad`` avoids that.
    """
    if is_gradient_in_forward(x):
        return _GradientInForward.apply(x, x[:0].clone(), function)
    return function(x)


class _GradientInForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        values = list[Tensor]()
        gradients = list[Tensor]()
        # Hooks of activation checkpoints or offloading around this call must not see tensors that are freed here.
        with (
            torch.enable_grad(),
            torch.autocast(x.device.type, enabled=False),
            saved_tensors_hooks(_unchanged, _unchanged),
        ):
            for group in groups(x):
                leaf = group.detach().to(dtype).requires_grad_()
                value = function(leaf)
                gradients += torch.autograd.grad(value.sum(), leaf)
                values.append(value.detach())
        ctx.save_for_backward(anchor, torch.cat(gradients))
        ctx.dtype = x.dtype
        return torch.cat(values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        anchor, gradient = ctx.saved_tensors
        of_images = (gradient * upstream.view(-1, 1, 1, 1)).to(ctx.dtype)
        if torch.is_grad_enabled():  # create_graph=True: torch would take this gradient for a constant
            of_images = _OnceDifferentiable.apply(of_images, anchor)
        return of_images, None, None


class _OnceDifferentiable(torch.autograd.Function):
    """A gradient whose own derivative raises an error, where torch would give none in silence.

    The anchor, an empty part of the images, links it to them without keeping them in memory.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, anchor: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> None:
        raise CLIPIQAError(
            "a second derivative of scores needs another computation: use the loss with double_backward=True, or call "
            "the network inside clipiqa_pyiqa.loss.general_path()."
        )


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


def untraceable(function: _Function) -> _Function:
    """Return a function at which torch.compile breaks the graph."""
    disabled = cache(partial(torch.compiler.disable, function))

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        can_be_compiled = "torch._dynamo" in sys.modules  # importing it takes two seconds
        return (disabled() if can_be_compiled else function)(*args, **kwargs)

    run._torchdynamo_disable = True  # type: ignore[attr-defined]
    return cast(_Function, run)


@contextmanager
def untraced() -> Iterator[None]:
    """Compute without export's modes, inference mode or gradients; new tensors are on the CPU by default."""
    with _disable_current_modes(), torch.device("cpu"), torch.inference_mode(False), torch.no_grad():
        yield
