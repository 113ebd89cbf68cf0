"""Whether torch packs weights on this machine as expected: it may lack or change the private functions that pack."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..text import log, reason_of
from .packed_convolution import PackedConvolution
from .tracing import untraced

HAS_ONEDNN = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX")

_CHANNELS = 8
_TRIED = ((3, 8, "relu"), (3, 1, "relu6"), (1, 8, "relu6"), (1, 8, "none"))
"""Kernel, input channels of the weight (1: depthwise) and activation of each kind of convolution."""


@cache
def packing_failure(dtype: torch.dtype) -> str:
    """Return why weights of this dtype are not packed on this machine; empty if they are.

    The first call tries each kind of convolution.
    """
    if not HAS_ONEDNN:
        return "there is no oneDNN for this processor"
    try:
        with untraced():
            for kernel, inputs, activation in _TRIED:
                _check_packing(_pattern(_CHANNELS, inputs, kernel, kernel).to(dtype), activation)
    except Exception as error:  # what a missing or changed function raises is not known
        return reason_of(error)[:200]
    return ""


@cache
def warn_of_packing_failure(device: torch.device, dtype: torch.dtype) -> None:
    """Log, once, that torch does not pack a tower's weights as expected."""
    if device.type != "cpu" or dtype == torch.float64 or not HAS_ONEDNN:
        return  # nothing is expected
    failure = packing_failure(dtype)
    if failure:
        log.warning(
            f"torch {torch.__version__} does not compute with packed weights of {dtype} as expected "
            f"({failure}), so scores on the CPU take longer."
        )


def _check_packing(weight: Tensor, activation: str) -> None:
    """Raise unless a convolution gives the right output with packed weights, and gets its weight back."""
    dtype = weight.dtype
    groups = _CHANNELS if weight.shape[1] == 1 else 1
    padding = (weight.shape[-1] // 2, weight.shape[-1] // 2)
    bias = _pattern(_CHANNELS)
    pixels = _pattern(2, _CHANNELS, 6, 5).contiguous(memory_format=torch.channels_last)
    exact = F.conv2d(pixels.double(), weight.double(), bias.double(), 1, padding, 1, groups)
    packed = PackedConvolution(weight, bias.to(dtype), 1, groups, activation)
    x = pixels.to(dtype)
    _check_close(packed(x, padding), _activated(exact, activation))
    if activation == "none":
        _check_close(packed(x, padding, onto=x.clone()), (exact + pixels).relu())
    if not torch.equal(packed.weight, weight):
        raise ValueError("the weight came back changed")


def _activated(y: Tensor, activation: str) -> Tensor:
    if activation == "none":
        return y
    activate = getattr(F, activation)  # relu or relu6
    return activate(y)


def _check_close(output: Tensor, exact: Tensor) -> None:
    tolerance = 1e-4 if output.dtype == torch.float32 else 0.05  # bf16 has eight bits; outputs are below 4
    if output.shape != exact.shape or not torch.allclose(output.double(), exact, tolerance, tolerance):
        raise ValueError("the output differs")


def _pattern(*shape: int) -> Tensor:
    """Return numbers from -0.5 to 0.5 in no simple order; bf16 holds them without rounding."""
    count = math.prod(shape)
    return ((torch.arange(count) * 7919 % 127 - 63) / 128).view(shape)
