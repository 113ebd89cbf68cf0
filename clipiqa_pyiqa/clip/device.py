"""The dtype in which a device computes, and the error for operations that it lacks."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import CLIPIQAError


def working_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the dtype in which a tower of ``dtype`` computes: fp32 on a CPU that is slow in ``dtype``."""
    return torch.float32 if device.type == "cpu" and is_slow_on_cpu(dtype) else dtype


def is_slow_on_cpu(dtype: torch.dtype) -> bool:
    """Return whether convolutions in ``dtype`` are slower than in fp32 on this CPU."""
    if dtype == torch.bfloat16:
        if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return True
        # with AVX-512 alone torch says yes, but converts: 1.6 to 3.8 times the time of fp32
        return torch.cpu._is_avx512_supported() and not torch.cpu._is_avx512_bf16_supported()
    return dtype == torch.float16  # 0.9 to 1.5 times where torch supports it, 11 to 15 elsewhere


def rounded(x: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return ``x`` rounded to ``dtype``, on a device, in the dtype in which a tower computes there."""
    return x.to(dtype).to(device).to(working_dtype(dtype, device))


def missing_on_mps(error: NotImplementedError) -> CLIPIQAError:
    """Return an error with the ways out for an operation that mps lacks."""
    return CLIPIQAError(
        f"this cannot be computed on device 'mps' ({str(error).partition('. ')[0]}): use the cpu, or set "
        "PYTORCH_ENABLE_MPS_FALLBACK=1 before Python starts, so that the cpu computes what mps lacks."
    )
