"""Which way gradients are computed: already in the forward pass, or by the general path, which allows second ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from .tracing import is_traced

_Result = TypeVar("_Result")

_takes_general_path = ContextVar("general_path", default=False)


@contextmanager
def general_path() -> Iterator[None]:
    """Compute scores in this context by plain operations, which allow second derivatives and take more memory."""
    token = _takes_general_path.set(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        _takes_general_path.reset(token)


def needs_gradient(x: Tensor) -> bool:
    return torch.is_grad_enabled() and x.requires_grad


def is_gradient_in_forward(x: Tensor) -> bool:
    """Return whether gradients of ``x`` are computed in the forward pass."""
    return needs_gradient(x) and not (is_traced() or _takes_general_path.get())


def recomputed(function: Callable[..., _Result], x: Tensor, *args: Any) -> _Result:
    """Return ``function(x, …)``; to save memory, the backward pass computes it again."""
    if is_gradient_in_forward(x):
        return checkpoint(function, x, *args, use_reentrant=False, preserve_rng_state=False)
    return function(x, *args)
