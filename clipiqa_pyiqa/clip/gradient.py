"""The gradient of one value per image, computed in the forward pass."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache, partial, wraps
from operator import attrgetter
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from ..errors import CLIPIQAError
from ..logger import log


def _private(name: str, consequence: str) -> Any:
    """Return a private function of torch; None if torch lacks it, with a line in the log."""
    try:
        return attrgetter(name)(torch)
    except AttributeError:
        log.warning(f"torch {torch.__version__} has no torch.{name}, so {consequence}.")
        return None


_PLAIN = "scores are computed by plain operations, which take longer"
_transforms_are_active = _private("_C._are_functorch_transforms_active", _PLAIN)
_forward_level = _private("autograd.forward_ad._current_level", _PLAIN)
_tracing_state = _private("_C._get_tracing_state", "a tower cannot be made inside of torch.jit.trace")
_set_tracing_state = _private("_C._set_tracing_state", "a tower cannot be made inside of torch.jit.trace")

try:
    from torch.utils._python_dispatch import _disable_current_modes
except ImportError:
    log.warning(
        f"torch {torch.__version__} has no _disable_current_modes, so a tower cannot be made while torch exports."
    )
    _disable_current_modes = nullcontext  # type: ignore[assignment]

GPU_GROUP_PIXELS = 1 << 22
"""Pixels per group on a GPU: sixteen images of 512×512. The value was not measured on a GPU."""

CPU_GROUP_PIXELS = 1 << 18
"""Pixels per group on a CPU; a larger image is a group alone. The value suits the cache of a CPU."""

CPU_SHARED_PIXELS = 224 * 224
"""Pixels of an image from which its score in a group stays equal to the last bit; smaller images change by 1e-6."""

_Result = TypeVar("_Result")
_Function = TypeVar("_Function", bound=Callable[..., Any])

_general = ContextVar("general_path", default=False)


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
def general_path() -> Iterator[None]:
    """Compute scores in this context by plain operations, which allow second derivatives and take more memory."""
    token = _general.set(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        _general.reset(token)


def is_traced() -> bool:
    """Return whether torch traces operations, so that no branch may depend on a tensor's values."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    if _transforms_are_active is None or _forward_level is None:
        return True  # torch does not say: what is right in a trace is right everywhere
    return forward_ad._current_level >= 0 or bool(_transforms_are_active())


def is_transformed() -> bool:
    """Return whether ``torch.func`` transforms operations, as ``torch.vmap`` does."""
    return _transforms_are_active is not None and bool(_transforms_are_active())


@contextmanager
def impossible_in_vmap(what: str) -> Iterator[None]:
    """Say, in place of torch's message about its own functions, what does not work inside ``torch.vmap``."""
    try:
        yield
    except RuntimeError as error:
        if not is_transformed():
            raise
        raise CLIPIQAError(f"{what} does not work inside torch.vmap: pass the images as one batch instead.") from error


@contextmanager
def untraced() -> Iterator[None]:
    """Compute without tracing, inference mode or gradients; new tensors are on the CPU by default."""
    with _no_trace(), _disable_current_modes(), torch.device("cpu"), torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def _no_trace() -> Iterator[None]:
    if _tracing_state is None or _set_tracing_state is None:
        yield
        return
    state = _tracing_state()
    _set_tracing_state(None)
    try:
        yield
    finally:
        _set_tracing_state(state)


def recomputed(function: Callable[..., _Result], x: Tensor, *args: Any) -> _Result:
    """Return ``function(x, …)``; to save memory, the backward pass computes it again."""
    if is_ahead(x):
        return checkpoint(function, x, *args, use_reentrant=False, preserve_rng_state=False)
    return function(x, *args)


def wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def clamped(x: Tensor, low: float, high: float) -> Tensor:
    """Return ``x.clamp(low, high)``, with a gradient also at the limits, where torch 2.15 gives none."""
    return x.masked_fill(x < low, low).masked_fill(x > high, high)


def groups(x: Tensor, times: int = 1) -> tuple[Tensor, ...]:
    """Return a batch split into groups, one per pass; ``times`` enlarges a group on the CPU.

    On a CPU without a gradient, each small image is a group, so that its score does not depend on the batch.
    """
    if is_traced():
        return (x,)
    pixels = x.shape[-2] * x.shape[-1]
    if x.device.type == "cpu" and pixels < CPU_SHARED_PIXELS and not needs_gradient(x):
        return x.split(1)
    limit = times * CPU_GROUP_PIXELS if x.device.type == "cpu" else GPU_GROUP_PIXELS
    return x.split(max(1, limit // pixels))


def per_image(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ``function(x)``, one value per image; the gradient is computed in the forward pass, in fp32 or wider."""
    return _Ahead.apply(x, anchor_of(x), function) if is_ahead(x) else function(x)


def is_ahead(x: Tensor) -> bool:
    """Return whether gradients of ``x`` are computed in the forward pass."""
    return needs_gradient(x) and not (is_traced() or _general.get())


def needs_gradient(x: Tensor) -> bool:
    return torch.is_grad_enabled() and x.requires_grad


class _Ahead(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        gradient = torch.empty_like(x, dtype=torch.promote_types(x.dtype, torch.float32))
        values, done = [], 0
        # Hooks of activation checkpoints or offloading around this call must not see tensors that are freed here.
        with (
            torch.enable_grad(),
            torch.autocast(x.device.type, enabled=False),
            saved_tensors_hooks(lambda x: x, lambda x: x),
        ):
            for group in groups(x):
                leaf = wide(group.detach()).requires_grad_()
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
        return forbid_double_backward((gradient * upstream.view(-1, 1, 1, 1)).to(ctx.dtype), anchor), None, None


def anchor_of(x: Tensor) -> Tensor:
    """Return an empty tensor that links second derivatives to ``x`` without keeping ``x`` in memory."""
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
