"""The dtype that a device is fast in, and errors of operations that a device lacks."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import CLIPIQAError


def working_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the dtype that a tower of ``dtype`` computes in on a device: fp32 on a CPU that is slow in its own."""
    return torch.float32 if device.type == "cpu" and is_slow_on_cpu(dtype) else dtype


def is_slow_on_cpu(dtype: torch.dtype) -> bool:
    """Return whether convolutions in ``dtype`` take longer than those in fp32 on this machine's processor."""
    if dtype == torch.bfloat16:
        if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return True
        # with AVX-512 alone torch says yes, but converts: 1.6 to 3.8 times the time of fp32
        return torch.cpu._is_avx512_supported() and not torch.cpu._is_avx512_bf16_supported()
    return dtype == torch.float16  # 0.9 to 1.5 times where torch supports it, 11 to 15 elsewhere


def rounded(x: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return ``x`` rounded to ``dtype`` and moved to a device, in the dtype that a tower computes in there."""
    return x.to(dtype).to(device).to(working_dtype(dtype, device))


def missing_on_mps(error: NotImplementedError) -> CLIPIQAError:
    """A sentence with the ways out, in place of torch's words about an operation that it has not on mps."""
    said = str(error).split(". ")[0].splitlines()[0].rstrip(".")
    return CLIPIQAError(
        f"this cannot be computed on device 'mps' ({said}): use the cpu, or set PYTORCH_ENABLE_MPS_FALLBACK=1 before "
        "Python starts, so that torch computes there what is missing."
    )
