"""The memory that scoring an image takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

PICTURE_BYTES = 18
"""Bytes per pixel of a scored image: the image itself, its copy in a batch, and the batch in fp32."""

# Further bytes per pixel that an image tower takes: measured peaks, rounded up (tests/measure/scoring_memory.py).
_MINI = {"score": 76, "maps": 86, "stages": 76}
_RESNET = {"score": 110, "maps": 110, "stages": 210}  # for a stem of 32 channels
_VIT, _VIT_TOKENS = 45, 70  # bytes of a normalised pixel; bytes for each number in a patch's token


def scoring_bytes(net: Any, device: torch.device, tower_pass: Literal["score", "maps", "stages"] = "score") -> int:
    """Return about how many bytes of main memory scoring takes per pixel.

    Args:
        tower_pass: ``'score'``; ``'maps'`` scores each place; ``'stages'`` computes statistics of the tower's stages.
    """
    clip = getattr(net, "clip", None)
    if clip is None or device.type != "cpu" or net.has_fixed_input:
        return PICTURE_BYTES
    from ...weights.checkpoint import TowerKind  # imports torch

    if clip.tower_kind is TowerKind.MINI:
        return PICTURE_BYTES + _MINI[tower_pass]
    width, _, _, side = clip.checkpoint.shapes["visual.conv1.weight"]
    if clip.tower_kind is TowerKind.VIT:
        return PICTURE_BYTES + _VIT + math.ceil(_VIT_TOKENS * width / side**2)
    return PICTURE_BYTES + _RESNET[tower_pass] * width // 32
