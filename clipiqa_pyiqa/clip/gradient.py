"""The gradient of one value per image, computed while going forward, and the general path where that will not do.

A frozen network scores each image by itself. So the derivative of an image's value with respect to its pixels is known
as soon as the value is, and a batch can be worked through a few images at a time: what stays until backward is one
tensor of the input's size, which backward only scales. Peak memory is that of one group, however large the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.checkpoint import checkpoint

from ..errors import CLIPIQAError

GPU_GROUP_PIXELS = 1 << 22
"""Pixels per group on a GPU: sixteen images of 512×512, enough to keep a large card busy. Not measured on one."""

CPU_GROUP_PIXELS = 1 << 18
"""Pixels per group on a CPU (at least one image), which suit its cache."""

CPU_SHARED_PIXELS = 224 * 224
"""Images of at least this many pixels score alike to the last bit alone and in a group; smaller ones differ by 1e-6."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_general = ContextVar("general_path", default=False)


def untraceable(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """A function at which ``torch.compile`` breaks its graph: torch's decorator, which would hide its signature."""
    return torch.compiler.disable(function)


def constant(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """A function that ``torch.compile`` calls once, while it traces, and whose result it keeps."""
    return torch.compiler.assume_constant_result(function)


@contextmanager
def general_path() -> Iterator[None]:
    """Within it, scores are computed by plain differentiable operations, as if the network were any other.

    It costs the memory of every activation, and allows what the short cuts do not: derivatives of the gradient.
    """
    token = _general.set(True)
    try:
        yield
    finally:
        _general.reset(token)


def is_general() -> bool:
    """Whether to compute by plain operations: inside :func:`general_path`, and where :func:`is_traced`."""
    return is_traced() or _general.get()


def is_traced() -> bool:
    """Whether torch follows operations instead of numbers: torch.func's transforms, compile, export, jit.trace.

    Nothing may then depend on a tensor's values, and what depends on its shape should be left out.
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active()


@contextmanager
def untraced() -> Iterator[None]:
    """For what is made once and kept: outside of tracing, inference mode and gradients, by default on the CPU."""
    state = torch._C._get_tracing_state()
    if state is not None:  # inside an operation of ours there is none, and it must not be set
        torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        with _disable_current_modes(), torch.device("cpu"), torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        if state is not None:
            torch._C._set_tracing_state(state)  # type: ignore[attr-defined]


def recomputed(function: Callable[..., _Result], x: Tensor, *args: Any) -> _Result:
    """``function(x, …)``, of which a gradient keeps only ``x``: what is made on the way is made again in backward."""
    if x.requires_grad and torch.is_grad_enabled() and not is_general():
        return checkpoint(function, x, *args, use_reentrant=False, preserve_rng_state=False)
    return function(x, *args)


def clamped(x: Tensor, low: float, high: float) -> Tensor:
    """``x.clamp(low, high)`` whose gradient is that of ``x`` at the limits too, where black and white pixels lie.

    torch's own is 0 there in some releases (2.15), which would leave the gradient of a black picture empty.
    """
    return x.masked_fill(x < low, low).masked_fill(x > high, high)


def groups(x: Tensor) -> tuple[Tensor, ...]:
    """Split a batch into runs of images that one pass should take together.

    Images do not meet each other, but on a CPU the shape of the whole group can decide in which order a convolution
    sums a small image. So that a batch scores like its single images, scoring takes small ones singly. A gradient in
    fp32 is not reproducible to the last digit anyway: there they share a pass.
    """
    if is_traced():
        return (x,)
    pixels = x.shape[-2] * x.shape[-1]
    if x.device.type == "cpu" and pixels < CPU_SHARED_PIXELS and not (torch.is_grad_enabled() and x.requires_grad):
        return x.split(1)
    limit = CPU_GROUP_PIXELS if x.device.type == "cpu" else GPU_GROUP_PIXELS
    return x.split(max(1, limit // pixels))


def per_image(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function(x)``, with its gradient computed while going forward if a gradient is wanted at all.

    Args:
        function: images ``(n, 3, H, W)``, fp32 or float64, to one value each, ``(n,)`` or ``(n, 1)``; an image's value
            must depend on that image alone.
        x: images ``(N, 3, H, W)`` of any floating dtype.

    Returns:
        What ``function`` returns, for all N. A gradient is kept in fp32, whatever the dtype of ``x``.
    """
    if not (torch.is_grad_enabled() and x.requires_grad) or is_general():
        return function(x)
    return _ahead(x, function)


@untraceable  # dynamo cannot trace a gradient inside a forward: the compiled graph breaks here
def _ahead(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    return _Ahead.apply(x, anchor_of(x), function)


class _Ahead(torch.autograd.Function):
    """One value per image, with its gradient ready for backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        wide = torch.float64 if x.dtype == torch.float64 else torch.float32
        gradient = torch.empty_like(x, dtype=wide)
        values, done = [], 0
        # The hooks of an outer activation checkpoint, or of offloading, are not for what lives and dies in here.
        with torch.enable_grad(), torch.autocast(x.device.type, enabled=False), saved_tensors_hooks(_same, _same):
            for group in groups(x):
                leaf = group.detach().to(wide).requires_grad_()
                value = function(leaf)
                gradient[done : done + len(group)] = torch.autograd.grad(value.sum(), leaf)[0]
                values.append(value.detach())
                done += len(group)
        ctx.save_for_backward(gradient, anchor)
        ctx.dtype = x.dtype
        return torch.cat(values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        gradient, anchor = ctx.saved_tensors
        return only_once((gradient * upstream.view(-1, 1, 1, 1)).to(ctx.dtype), anchor), None, None


def anchor_of(x: Tensor) -> Tensor:
    """An empty tensor by which a derivative of ``x``'s gradient finds its way to ``x``, without keeping ``x``."""
    return x[:0].clone()


def only_once(gradient: Tensor, anchor: Tensor) -> Tensor:
    """Let a gradient pass, but refuse a derivative of it, which would be wrong in silence.

    Args:
        gradient: what a backward is about to return.
        anchor: the input's :func:`anchor_of`, so that the refusal also comes if ``gradient`` depends on nothing else.
    """
    return _OnlyOnce.apply(gradient, anchor) if torch.is_grad_enabled() else gradient


class _OnlyOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, anchor: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> None:
        raise CLIPIQAError(
            "a second derivative was asked for, but the gradient is computed by a short cut that has none: use the "
            "loss with double_backward=True, or call the network inside clipiqa_pyiqa.loss.general_path()."
        )


def _same(tensor: Tensor) -> Tensor:
    return tensor
