"""Devices: the one that a user names, the dtype in which it computes, and the error for operations that it lacks."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from ..errors import CLIPIQAError
from ..logger import log
from ..text import shown
from ..weights.checkpoint import Checkpoint


def is_slow_on_cpu(dtype: torch.dtype) -> bool:
    if dtype == torch.bfloat16:
        return not torch.backends.mkldnn.is_available() or _has_slow_bf16()
    return dtype == torch.float16  # 0.9 to 1.5 times fp32's time where torch supports fp16, else 11 to 15


@cache
def _has_slow_bf16() -> bool:
    """Return whether this processor has no fast bf16; the line for a torch that cannot tell is logged once."""
    try:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return True
        # With AVX-512 but no bf16 instructions, torch claims support but converts: 1.6 to 3.8 times as slow as fp32.
        return torch.cpu._is_avx512_supported() and not torch.cpu._is_avx512_bf16_supported()
    except (AttributeError, RuntimeError) as error:  # these functions are private
        log.warning(
            f"torch {torch.__version__} does not say whether this CPU is fast in bf16 ({error}): it computes in fp32."
        )
        return True


Part = Literal["image", "places"]
"""The part that an image tower encodes: the whole image, or each place (cell) of the image."""


@dataclass(frozen=True)
class FrozenTensors:
    """A checkpoint's tensors by OpenAI's names, and the device and dtype of a tower."""

    raw: Checkpoint
    device: torch.device
    dtype: torch.dtype

    @property
    def working(self) -> torch.dtype:
        """Dtype of computations: fp32 on a CPU that is slow in ``dtype``, else ``dtype``."""
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
        f"device 'mps' lacks an operation ({str(error).partition('. ')[0]}): use {{device}}='cpu', or set "
        "PYTORCH_ENABLE_MPS_FALLBACK=1 before Python starts, so that the CPU computes this operation.",
        options=("device",),
    )


def find_device(name: str | torch.device | None) -> torch.device:
    """Return the named device, by default cuda if available, else cpu; raise ``CLIPIQAError`` for a missing device."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise CLIPIQAError(
            f"{{device}} must be cpu, cuda, cuda:N or mps, and this machine must have it; got {shown(name)}.",
            options=("device",),
        ) from error
