"""Where to compute: a device by its name, or the one that is best; and the memory that scoring takes there."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

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
_MINI: dict[Work, int] = {"score": 12, "maps": 45, "stages": 15}
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
    width, _, _, side = clip.checkpoint.shape("visual.conv1.weight")
    if "visual.proj" in clip.checkpoint:
        return PICTURE + _VIT + math.ceil(_VIT_TOKENS * width / side**2)
    return PICTURE + _RESNET[work] * width // 32
