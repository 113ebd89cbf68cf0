"""How far a place sees, which docs/maps.md states, and maps that move with their image: shifted, flipped."""

import re
from pathlib import Path

import pytest
import torch

from clipiqa_pyiqa import CLIPIQA

PAGE = Path(__file__).parents[2] / "docs/maps.md"
STATED = {
    name: int(side)
    for name, side in re.findall(r"^\| `(RN50|mini)` \| (\d+)×\2 px", PAGE.read_text(encoding="utf-8"), re.M)
}


@pytest.fixture(params=["RN50", "mini"])
def metric(request):
    path = request.getfixturevalue("compact" if request.param == "mini" else "full_rn50")
    return CLIPIQA(backbone=request.param, clip_weights=path).eval()


def strip(width, height=32):
    """A low and wide image in float64; sideways, all that matters is its width."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def seen(metric, x, column):
    """The first and the last column of pixels that the places in a column of the map depend on."""
    x = x.clone().requires_grad_()
    cells = metric.encode_map(x)[..., column]
    direction = torch.randn(cells.shape, generator=torch.Generator().manual_seed(1), dtype=cells.dtype)
    (slope,) = torch.autograd.grad((cells * direction).sum(), x)
    columns = slope.abs().amax((0, 1, 2)).nonzero().flatten()
    return int(columns[0]), int(columns[-1])


def test_a_place_depends_on_as_many_pixels_as_the_page_says(metric):
    side = STATED[metric.clip.weights.backbone]
    first, last = seen(metric, strip(1536), 24)
    assert last - first + 1 == side
    assert first < 24 * 32 - 32 and last > 25 * 32 + 32  # and beyond its neighbours on both sides


def test_a_shift_by_a_place_shifts_the_map(metric):
    """For places further from the border than they see; near it, padding is seen, and it does not move."""
    far = -(-STATED[metric.clip.weights.backbone] // 64) + 1  # places from the border
    x = strip(32 * (2 * far + 4))

    def moved(x):
        return (metric.encode_map(x)[..., 1:] - metric.encode_map(x[..., 32:])).abs().amax((0, 1, 2))

    with torch.no_grad():
        found = moved(x)
        assert len(found[far:-far]) >= 2 and found[far:-far].max() < 1e-10  # float64, rounding only
        assert found[0] > 1e-4  # the border is another one
        assert moved(x.float())[far:-far].max() < 1e-5
