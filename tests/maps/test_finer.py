"""Finer maps: windows are images of their own, scale enlarges first, and both lie where they should."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clipiqa_pyiqa import CLIPIQA, CLIPIQAError, ImageError, draw_maps
from clipiqa_pyiqa.maps.finer import window_map
from clipiqa_pyiqa.maps.places import map_statistics, quality_map, smoothed, upsampled
from clipiqa_pyiqa.prompts.pairs import parse_columns

PAIRS = ["sharpness", "noisiness"]


@pytest.fixture(scope="module")
def metric(compact: Path) -> CLIPIQA:
    return CLIPIQA(backbone="mini", clip_weights=compact).eval()


def image(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_windows_are_images_of_their_own(metric: CLIPIQA, batch_size: int) -> None:
    x, told = image(2, 3, 70, 110), []
    with torch.no_grad():
        found = window_map(metric, x, PAIRS, 48, 20, batch_size=batch_size, progress=lambda *now: told.append(now))
        assert found.shape == (2, 2, 2, 4)
        for n, row, column in [(0, 0, 0), (1, 1, 3), (0, 1, 2)]:
            crop = x[n : n + 1, :, 20 * row : 20 * row + 48, 20 * column : 20 * column + 48]
            torch.testing.assert_close(
                found[n, :, row, column], metric(crop, PAIRS, aggregate=None)[0], atol=1e-6, rtol=0
            )
    assert told[-1] == (16, 16) and len(told) == -(-16 // batch_size)


def test_windows_in_float64_have_a_gradient_and_take_columns(metric: CLIPIQA) -> None:
    x = image(1, 3, 64, 80, dtype=torch.float64).requires_grad_()
    found = window_map(metric, x, parse_columns(["quality", "pyiqa"]), 64, 16)
    assert found.shape == (1, 2, 1, 2) and found.dtype == torch.float64
    (slope,) = torch.autograd.grad(found[..., 1].sum(), x)
    assert slope[..., 16:].norm() > 0 and slope[..., :16].norm() == 0  # what the window does not see
    assert window_map(metric, x, None, 64).shape == (1, 1, 1, 1)  # the stride is half the window


def test_windows_at_the_images_size(metric: CLIPIQA) -> None:
    """A window's score lies in its middle; windows overlap, so nothing is averaged unless asked."""
    x = image(1, 3, 96, 128)
    with torch.no_grad():
        windows = window_map(metric, x, "quality", 64, 32)
        assert torch.equal(quality_map(metric, x, "quality", window=64, stride=32), windows)
        assert torch.equal(quality_map(metric, x, "quality", window=64, stride=32, smooth=True), smoothed(windows))
        full = quality_map(metric, x, "quality", window=64, stride=32, upsample=True)
    assert torch.equal(full, upsampled(windows, (96, 128), 32, 16))
    assert (full[0, 0, :32, :32] == windows[0, 0, 0, 0]).all()


def test_scale_enlarges_first(metric: CLIPIQA) -> None:
    x = image(1, 3, 48, 64)
    large = F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False).clamp(0, 1)
    with torch.no_grad():
        found = quality_map(metric, x, "quality", scale=2, smooth=False)
        torch.testing.assert_close(found, metric.score_map(large, "quality"), atol=1e-6, rtol=0)
        assert found.shape == (1, 1, 3, 4)
        full = quality_map(metric, x, "quality", scale=2, smooth=False, upsample=True)
    assert torch.equal(full, upsampled(found, (48, 64), 16))  # a place is 16 px here
    assert quality_map(metric, x, scale=1.5).shape == (1, 1, 2, 3)


def test_photos(metric: CLIPIQA, tmp_path: Path) -> None:
    """What was done is recorded, and a photo's score stays that of the photo as it is."""
    for name in ("a.png", "b.png"):
        Image.fromarray((image(80, 96, 3) * 255).byte().numpy()).save(tmp_path / name)
    told: list[float] = []
    options = {"device": "cpu", "batch_size": 1}
    plain = draw_maps(metric, tmp_path, **options)  # type: ignore[arg-type]
    scaled = draw_maps(metric, tmp_path, scale=2, smooth=False, **options)  # type: ignore[arg-type]
    windows = draw_maps(
        metric, tmp_path, window=64, stride=16, progress=lambda done, total: told.append(done / total), **options
    )  # type: ignore[arg-type]
    for found in (scaled, windows):
        np.testing.assert_allclose(found.maps[0].score, plain.maps[0].score, atol=1e-6)
    assert scaled.provenance["scale"] == 2 and scaled.maps[0].step == 16 and scaled.maps[0].scores.shape == (1, 5, 6)
    assert windows.provenance["map"] == "windows of 64 px every 16 px"
    assert windows.maps[0].arrays({})["columns"].tolist() == [32, 48, 64]
    several = CLIPIQA(backbone="mini", clip_weights=metric.clip.weights.path, prompts=PAIRS).eval()
    for way in ({"window": 64}, {}):
        own = draw_maps(several, tmp_path / "a.png", None, **way, **options).maps[0]  # type: ignore[arg-type]
        assert [question.name for question in own.questions] == PAIRS and own.scores.shape[0] == own.score.size == 2
    assert told == sorted(told) and told[-1] == 1 and 0 < told[0] < 0.5


def test_statistics_by_hand() -> None:
    maps = torch.stack([torch.arange(11) / 10, torch.ones(11)])[None, :, None]  # (1, 2, 1, 11)
    torch.testing.assert_close(map_statistics(maps), torch.tensor([[[0.0, 0.1, 5 / 11], [1.0, 1.0, 0.0]]]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": 31}, "window must be at least 32 px"),
        ({"window": 64.0}, "window must be an int or None; got 64.0"),
        ({"window": 64, "stride": 0}, "stride must be at least 1; got 0."),
        ({"stride": 16}, "pass window, too"),
        ({"scale": 0.5}, "scale must be from 1 to 8; got 0.5."),
        ({"scale": 9}, "scale must be from 1 to 8; got 9"),
        ({"scale": "2"}, "scale must be a finite number; got '2'"),
        ({"scale": 2, "window": 64}, "scale and window cannot be used together: pass one of them."),
    ],
)
def test_what_cannot_be(metric: CLIPIQA, options: dict[str, object], said: str) -> None:
    with pytest.raises(CLIPIQAError, match=re.escape(said)):
        quality_map(metric, image(1, 3, 64, 64), **options)  # type: ignore[arg-type]
    with pytest.raises(CLIPIQAError, match=re.escape(said)):
        draw_maps(metric, "no.png", **options)  # type: ignore[arg-type]


def test_windows_larger_than_the_image_and_of_what_is_fixed(compact: Path, metric: CLIPIQA) -> None:
    x = image(1, 3, 64, 100)
    with pytest.raises(ImageError, match="window must fit into the image of 100×64 px; got 65"):
        quality_map(metric, x, window=65)
    fixed = CLIPIQA(backbone="mini", clip_weights=compact, pos_embedding="fixed").eval()
    with pytest.raises(CLIPIQAError, match="for a map"):
        quality_map(fixed, x)
    with torch.no_grad():
        torch.testing.assert_close(window_map(fixed, x, None, 64, 36)[0, 0, 0, 1], fixed(x[..., 36:])[0, 0])
