"""The dtype in which a device computes, and the error for operations that it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import CLIPIQAError
from ..weights.checkpoint import Checkpoint


def is_slow_on_cpu(dtype: torch.dtype) -> bool:
    if dtype == torch.bfloat16:
        if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return True
        # with AVX-512 alone torch says yes, but converts: 1.6 to 3.8 times the time of fp32
        return torch.cpu._is_avx512_supported() and not torch.cpu._is_avx512_bf16_supported()
    return dtype == torch.float16  # 0.9 to 1.5 times where torch supports it, 11 to 15 elsewhere


Part = Literal["image", "places"]
"""What an image tower encodes: the whole image, or each of its places."""


@dataclass(frozen=True)
class FrozenTensors:
    """A checkpoint's tensors by OpenAI's names, the tower's device, and the rounding dtype."""

    raw: Checkpoint
    device: torch.device
    dtype: torch.dtype

    @property
    def working(self) -> torch.dtype:
        """Dtype of computations: fp32 on a CPU slow in ``dtype``."""
        return torch.float32 if self.device.type == "cpu" and is_slow_on_cpu(self.dtype) else self.dtype

    @property
    def wide(self) -> torch.dtype:
        return torch.promote_types(self.dtype, torch.float32)

    def rounded(self, x: Tensor) -> Tensor:
        return x.to(self.dtype).to(self.device).to(self.working)

    def widened(self, name: str) -> Tensor:
        return self.raw[name].to(self.device, self.wide)


def missing_on_mps(error: NotImplementedError) -> CLIPIQAError:
    return CLIPIQAError(
        f"this cannot be computed on device 'mps' ({str(error).partition('. ')[0]}): use the cpu, or set "
        "PYTORCH_ENABLE_MPS_FALLBACK=1 before Python starts, so that the cpu computes what mps lacks."
    )
