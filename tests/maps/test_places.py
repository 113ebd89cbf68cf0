"""Maps for people to look at: smoothed, at the image's size, and pointing at what was damaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from distortions import blurred, jpeg, noisy
from PIL import Image, ImageEnhance
from scipy.stats import rankdata

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.experiments.demonstration import PHOTOS
from clipiqa_pyiqa.maps.places import quality_map, smoothed, upsampled


def test_smoothing_by_hand() -> None:
    scores = torch.arange(12.0).view(1, 1, 3, 4)
    found = smoothed(scores)[0, 0]
    assert found[1, 1] == scores[0, 0, 0:3, 0:3].mean() and found[0, 0] == scores[0, 0, :2, :2].mean()
    assert found.shape == (3, 4) and torch.equal(smoothed(torch.ones(2, 3, 1, 5)), torch.ones(2, 3, 1, 5))


@pytest.mark.parametrize("size", [(64, 96), (70, 127), (63, 95)])
def test_enlarging_keeps_places_where_they_are(size: tuple[int, int]) -> None:
    """The middle of a place has its score, what is left over repeats the border, and a ramp stays a ramp."""
    scores = torch.arange(3.0).expand(1, 2, 2, 3)
    found = upsampled(scores, size, 32)
    assert found.shape == (1, 2, *size)
    assert found[0, 0, 5, 47:49].mean() == 1
    assert (found[0, 0, 5, 80:] == 2).all() and (found[0, 0, :, :16] == 0).all()
    steps = found[0, 0, 5, 16:80].diff()
    torch.testing.assert_close(steps, torch.full_like(steps, 1 / 32))


def test_places_that_begin_inside() -> None:
    """As those of windows do: a ramp from middle to middle, and its ends repeated."""
    found = upsampled(torch.arange(3.0, dtype=torch.float64).expand(1, 1, 3, 3), (60, 60), 12.5, 8)[0, 0, 30]
    middles = (torch.arange(60, dtype=torch.float64) + 0.5 - 8) / 12.5 - 0.5
    torch.testing.assert_close(found, middles.clamp(0, 2))


def test_quality_map() -> None:
    metric, x = CLIPIQA(backbone="mini").eval(), torch.rand(2, 3, 100, 200, generator=torch.Generator().manual_seed(0))
    plain = metric.score_map(x, ["sharpness", "noisiness"])
    assert torch.equal(quality_map(metric, x, ["sharpness", "noisiness"], smooth=False), plain)
    assert torch.equal(quality_map(metric, x, ["sharpness", "noisiness"]), smoothed(plain))
    assert quality_map(metric, x, upsample=True).shape == (2, 1, 100, 200)


DAMAGE = {
    "sharpness": lambda photo: blurred(photo, 3),
    "noisiness": lambda photo: noisy(photo, 20),
    "brightness": lambda photo: ImageEnhance.Brightness(photo).enhance(0.4),
    "quality": lambda photo: jpeg(photo, 10),
}


def area(low: np.ndarray, high: np.ndarray) -> float:
    """Under the ROC curve: how often a number of ``high`` exceeds one of ``low``."""
    ranks = rankdata(np.concatenate([low, high]))[len(low) :]
    return (ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(low) * len(high))


@pytest.mark.parametrize("question", DAMAGE)
def test_it_says_which_half_was_damaged(question: str) -> None:
    """On the three bundled photos, which mini was not trained on; each half in turn, every place by its middle."""
    metric, areas = CLIPIQA(backbone="mini").eval(), []
    for path in sorted(PHOTOS.glob("*.jpg")):
        photo = Image.open(path).convert("RGB")
        for side in (0, 1):
            middle, changed = photo.width // 2, np.array(photo)
            half = slice(middle, None) if side else slice(None, middle)
            changed[:, half] = np.asarray(DAMAGE[question](photo))[:, half]
            x = torch.from_numpy(changed).permute(2, 0, 1)[None].float() / 255
            with torch.no_grad():
                scores = quality_map(metric, x, question, smooth=False)[0, 0].numpy()
            inside = (np.arange(scores.shape[1]) * 32 + 16 < middle) != bool(side)
            areas.append(area(scores[:, inside].ravel(), scores[:, ~inside].ravel()))
    assert np.mean(areas) > 0.95 and min(areas) > 0.9, areas


def test_it_says_that_the_centre_was_darkened() -> None:
    metric, areas = CLIPIQA(backbone="mini").eval(), []
    for path in sorted(PHOTOS.glob("*.jpg")):
        photo = Image.open(path).convert("RGB")
        box = tuple(round(share * side) for share, side in zip((0.15, 0.15, 0.85, 0.85), photo.size * 2, strict=True))
        photo.paste(ImageEnhance.Brightness(photo).enhance(0.4).crop(box), box)
        x = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            scores = quality_map(metric, x, "brightness", smooth=False)[0, 0].numpy()
        rows, columns = (np.arange(count) * 32 + 16 for count in scores.shape)
        inside = np.outer((rows >= box[1]) & (rows < box[3]), (columns >= box[0]) & (columns < box[2]))
        areas.append(area(scores[inside], scores[~inside]))
    assert np.mean(areas) > 0.93 and min(areas) > 0.85, areas
