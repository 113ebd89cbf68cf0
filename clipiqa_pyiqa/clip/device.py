"""Where and in what to compute: a device, the dtype it is fast in, and the memory that scoring takes there."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import CLIPIQAError, shown


def find_device(name: str | torch.device | None) -> torch.device:
    """The device of that name; without one, cuda if there is one, else cpu.

    Raises:
        CLIPIQAError: no such device is known, or it is not on this machine.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CLIPIQAError(f"unknown device {shown(name)}: use cpu, cuda, cuda:N or mps.") from error
    found = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= found.get(device.type, 0):
        there = [f"cuda:{n}" for n in range(found["cuda"])] + ["mps"] * found["mps"]
        raise CLIPIQAError(f"device {str(name)!r} is not available here: use one of {', '.join(['cpu', *there])}.")
    return device


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


Work = Literal["score", "maps", "stages"]
PICTURE = 18
"""Bytes per pixel of a picture that is scored: its 8 bits, their copy in a batch, and the batch in fp32."""

# Bytes per pixel of the towers beside it: peaks, rounded up (tests/measure/scoring_memory.py; docs/performance.md).
_MINI: dict[Work, int] = {"score": 76, "maps": 86, "stages": 76}
_RESNET: dict[Work, int] = {"score": 110, "maps": 110, "stages": 210}  # by a stem of 32 channels, RN50's
_VIT, _VIT_TOKENS = 45, 70  # of normalised pixels; and for each number in a token of its patch


def scoring_bytes(net: Any, device: torch.device, work: Work = "score") -> int:
    """Return about how many bytes of main memory each pixel of a picture takes while it is scored.

    Args:
        net: A ``CLIPIQA``; of anything else only the picture itself counts.
        device: Where it scores; an accelerator has memory of its own, and says itself when it is full.
        work: ``'maps'`` with the scores of places, ``'stages'`` with the statistics of the tower's stages.
    """
    clip = getattr(net, "clip", None)
    if clip is None or device.type != "cpu" or net.pos_embedding == "fixed":
        return PICTURE
    if not clip.has_positions:
        return PICTURE + _MINI[work]
    width, _, _, side = clip.checkpoint.shapes["visual.conv1.weight"]
    if "visual.proj" in clip.checkpoint:
        return PICTURE + _VIT + math.ceil(_VIT_TOKENS * width / side**2)
    return PICTURE + _RESNET[work] * width // 32
