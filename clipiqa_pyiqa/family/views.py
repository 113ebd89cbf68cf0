"""Views of an image: the whole image, its middle at 224 px, or patches of 224 px."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ..clip.model import middle_square

SIDE = 224  # pixels of CLIP's own square input


class TowerInput(NamedTuple):
    name: str
    pos_embedding: str  # the tower's option: 'none' or 'interpolate'
    min_side: int  # smallest height and width in pixels; 0 means that the tower decides
    take: Callable[[Tensor], list[Tensor]]  # returns the parts to encode, each ``(N, 3, h, w)``
    dims: int = 2  # axes of features: ``(N, D)``, or ``(N, K, D)`` of K patches


def _all_patches(x: Tensor) -> list[Tensor]:
    """Return MA-CLIP's patches: all patches at stride 128, and the whole image resized to a square."""
    whole = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return [*_patches(x, _corners(x, 128)), whole]


def _fifteen_patches(x: Tensor) -> list[Tensor]:
    """Return LIQE's patches: at most 15 of the patches at stride 32, evenly spaced in reading order."""
    corners = _corners(x, 32)
    return _patches(x, corners[:: max(1, len(corners) // 15)][:15])


def _corners(x: Tensor, stride: int) -> list[tuple[int, int]]:
    tops, lefts = (range(0, size - SIDE + 1, stride) for size in x.shape[2:])
    return [(top, left) for top in tops for left in lefts]


def _patches(x: Tensor, corners: list[tuple[int, int]]) -> list[Tensor]:
    return [x[:, :, top : top + SIDE, left : left + SIDE] for top, left in corners]


WHOLE = TowerInput("whole image", "none", 0, lambda x: [x])
CROP = TowerInput("224 px of the middle", "interpolate", 1, lambda x: [middle_square(x, SIDE)])
ALL_PATCHES = TowerInput("224 px patches at stride 128, and the image squashed", "none", SIDE, _all_patches, 3)
FIFTEEN_PATCHES = TowerInput("15 patches of 224 px", "interpolate", SIDE, _fifteen_patches, 3)
