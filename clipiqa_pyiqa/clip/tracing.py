"""Whether torch traces or transforms operations, and how code stays out of traces."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial, wraps
from operator import attrgetter
from typing import Any, TypeVar, cast

import torch
from torch.autograd import forward_ad

from ..errors import CLIPIQAError
from ..text import log

_Function = TypeVar("_Function", bound=Callable[..., Any])

_SLOWER = "scores are computed by plain operations, which take longer"
_NOT_IN_JIT_TRACE = "a tower cannot be made inside of torch.jit.trace"
_CONSEQUENCES = {  # private name of torch -> what follows if torch lacks it
    "_C._are_functorch_transforms_active": _SLOWER,
    "autograd.forward_ad._current_level": _SLOWER,
    "_C._get_tracing_state": _NOT_IN_JIT_TRACE,
    "_C._set_tracing_state": _NOT_IN_JIT_TRACE,
}


def _private(name: str) -> Any:
    """Return what torch has under a private name, or None."""
    try:
        return attrgetter(name)(torch)
    except AttributeError:
        return None


def _log_missing() -> None:
    for name, consequence in _CONSEQUENCES.items():
        if _private(name) is None:
            log.warning(f"torch {torch.__version__} has no torch.{name}, so {consequence}.")


_log_missing()
_transforms_are_active = _private("_C._are_functorch_transforms_active")
_has_forward_level = _private("autograd.forward_ad._current_level") is not None
_tracing_state = _private("_C._get_tracing_state")
_set_tracing_state = _private("_C._set_tracing_state")

try:
    from torch.utils._python_dispatch import _disable_current_modes
except ImportError:
    log.warning(
        f"torch {torch.__version__} has no _disable_current_modes, so a tower cannot be made while torch exports."
    )
    _disable_current_modes = nullcontext  # type: ignore[assignment]


def is_traced() -> bool:
    """Return whether torch traces operations, so that no branch may depend on a tensor's values."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    if _transforms_are_active is None or not _has_forward_level:
        return True  # torch does not say: what is right in a trace is right everywhere
    return forward_ad._current_level >= 0 or bool(_transforms_are_active())


def is_transformed() -> bool:
    """Return whether ``torch.func`` transforms operations, as ``torch.vmap`` does."""
    return _transforms_are_active is not None and bool(_transforms_are_active())


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


@contextmanager
def impossible_in_vmap(what: str) -> Iterator[None]:
    """Say, in place of torch's message about its own functions, what does not work inside ``torch.vmap``."""
    try:
        yield
    except RuntimeError as error:
        if not is_transformed():
            raise
        raise CLIPIQAError(f"{what} does not work inside torch.vmap: pass the images as one batch instead.") from error
