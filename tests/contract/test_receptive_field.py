"""How far a place sees, which docs/maps.md states."""

import re
from pathlib import Path

import pytest
import torch
from tensors import normal, uniform

from clipiqa_pyiqa import CLIPIQA

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs/maps.md"


@pytest.mark.parametrize("backbone", ["RN50", "mini"])
def test_a_place_depends_on_as_many_pixels_as_the_page_says(full_rn50, backbone):
    """Places in a column of the map of a wide image, in float64."""
    metric = CLIPIQA(backbone=backbone, clip_weights=full_rn50 if backbone == "RN50" else None).eval()
    x = uniform(1, 3, 32, 1536, dtype=torch.float64).requires_grad_()
    cells = metric.encode_map(x)[..., 24]
    direction = normal(cells.shape, seed=1, dtype=cells.dtype)
    (slope,) = torch.autograd.grad((cells * direction).sum(), x)
    first, *_, last = slope.abs().amax((0, 1, 2)).nonzero().flatten().tolist()
    (stated,) = re.findall(rf"^\| `{backbone}` \| (\d+)×\1 px", PAGE.read_text(encoding="utf-8"), re.M)
    assert last - first + 1 == int(stated)
    assert first < 24 * 32 - 32 and last > 25 * 32 + 32  # and beyond its neighbours on both sides
