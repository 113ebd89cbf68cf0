"""Dtypes of the arithmetic, and operations that keep precision and gradients where torch's own lose them."""

import torch
from torch import Tensor

from ..weights.checkpoint import Checkpoint
from .gradient import is_traced


def is_slow_on_cpu(dtype: torch.dtype) -> bool:
    """Return whether this machine's CPU takes longer in a dtype than in fp32, or torch does not say so."""
    if dtype == torch.float16:
        return True  # 0.9 to 1.5 times fp32's time where torch supports fp16, else 11 to 15
    if dtype != torch.bfloat16:
        return False
    try:  # private names of torch
        has_bf16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        # With AVX-512 but no bf16 instructions, torch claims support but converts: 1.6 to 3.8 times as slow as fp32.
        is_converted = torch.cpu._is_avx512_supported() and not torch.cpu._is_avx512_bf16_supported()
    except (AttributeError, RuntimeError):
        return True
    return not has_bf16 or is_converted


class FrozenTensors:
    """A checkpoint's tensors by OpenAI's names, on the device and in the dtypes of a tower.

    Attributes:
        dtype: The tower's precision, to which weights and pixels are rounded.
        arithmetic_dtype: Of convolutions and matrix products: fp32 on a CPU that is slow in ``dtype``, else ``dtype``.
        feature_dtype: Of features and norms: fp32, or float64 if ``dtype`` is.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype):
        self.checkpoint = checkpoint
        self.device = device
        self.dtype = dtype
        self.arithmetic_dtype = torch.float32 if device.type == "cpu" and is_slow_on_cpu(dtype) else dtype
        self.feature_dtype = torch.promote_types(dtype, torch.float32)

    def rounded(self, x: Tensor) -> Tensor:
        """Return numbers rounded to ``dtype``, on the device, in ``arithmetic_dtype``."""
        return x.to(self.dtype).to(self.device).to(self.arithmetic_dtype)

    def read_rounded(self, name: str) -> Tensor:
        return self.rounded(self.checkpoint[name])

    def read(self, name: str) -> Tensor:
        """Return a tensor of the checkpoint on the device, in ``feature_dtype``."""
        return self.checkpoint[name].to(self.device, self.feature_dtype)

    def linear(self, name: str) -> list[Tensor]:
        """Return the weight and the bias of a linear layer, rounded."""
        return [self.read_rounded(f"{name}{part}") for part in ("weight", "bias")]


def at_least_fp32(x: Tensor) -> Tensor:
    """Return a tensor in fp32; float64 stays."""
    return x if x.dtype == torch.float64 else x.float()


def exact(x: Tensor) -> Tensor:
    """Return a tensor in float64, so that a result, rounded once, does not depend on the size of the batch.

    Apple's GPUs have no float64, and a traced network needs none: there the tensor keeps its dtype.
    """
    return x if x.device.type == "mps" or is_traced() else x.double()


def clamped(x: Tensor, low: float, high: float) -> Tensor:
    """Return ``x.clamp(low, high)``, with a gradient also at the limits, where torch 2.15 gives none."""
    return x.masked_fill(x < low, low).masked_fill(x > high, high)


def sigmoid(x: Tensor) -> Tensor:
    """Return the sigmoid, with a gradient even where the value rounds to 1."""
    # torch computes the gradient from the value y as y (1 - y), so use the side where y is small
    return torch.where(x > 0, 1 - (-x).sigmoid(), x.sigmoid())


def means_and_deviations(x: Tensor) -> Tensor:
    """Return the mean and standard deviation of ``(N, C, L)`` over L: ``(N, 2 C)``."""
    mean = x.mean(2)
    deviation = ((x - mean[..., None]).square().mean(2) + 1e-12).sqrt()  # 1e-12 keeps gradients of constant maps finite
    return torch.cat([mean, deviation], dim=1)
