"""Maps for people to look at: smoothed, at the image's size, and pointing at what was damaged."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from photos import area, blurred, jpeg, noisy, photo_like
from PIL import Image, ImageEnhance
from torchvision.transforms.v2.functional import pil_to_tensor

from clipiqa_pyiqa.workbench.experiments.demonstration import PHOTOS
from clipiqa_pyiqa.workbench.maps.places import quality_map, smoothed, upsampled

pytestmark = pytest.mark.quick


def test_smoothing_equals_hand_computed_values():
    scores = torch.arange(12.0).view(1, 1, 3, 4)
    means = smoothed(scores)[0, 0]
    assert means.shape == (3, 4)
    assert means[1, 1] == scores[0, 0, 0:3, 0:3].mean()
    assert means[0, 0] == scores[0, 0, :2, :2].mean()
    equal = torch.ones(2, 3, 1, 5)
    assert torch.equal(smoothed(equal), equal)


def test_enlarging_keeps_places_where_they_are():
    """The middle of a place has its score, what is left over repeats the border, and a ramp stays a ramp."""
    for size in [(70, 127), (63, 95)]:
        scores = torch.arange(3.0).expand(1, 2, 2, 3)
        pixels = upsampled(scores, size, 32)
        assert pixels.shape == (1, 2, *size)
        assert pixels[0, 0, 5, 47:49].mean() == 1
        assert (pixels[0, 0, 5, 80:] == 2).all()
        assert (pixels[0, 0, :, :16] == 0).all()
        steps = pixels[0, 0, 5, 16:80].diff()
        torch.testing.assert_close(steps, torch.full_like(steps, 1 / 32))


def test_quality_map_equals_the_metrics_map_and_its_smoothing(metric):
    x = photo_like(48, 64, 2)
    questions = ["sharpness", "noisiness"]
    plain = metric.score_map(x, questions)
    assert torch.equal(quality_map(metric, x, questions, smooth=False), plain)
    assert torch.equal(quality_map(metric, x, questions), smoothed(plain))
    large = F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False).clamp(0, 1)
    finer = quality_map(metric, x, "quality", scale=2, smooth=False)
    torch.testing.assert_close(finer, metric.score_map(large, "quality"), atol=1e-6, rtol=0)
    full = quality_map(metric, x, "quality", scale=2, smooth=False, upsample=True)
    assert torch.equal(full, upsampled(finer, (48, 64), 16))  # a place is 16 px here


DAMAGE = {
    "sharpness": lambda photo: blurred(photo, 3),
    "noisiness": lambda photo: noisy(photo, 20),
    "brightness": lambda photo: ImageEnhance.Brightness(photo).enhance(0.4),
    "quality": lambda photo: jpeg(photo, 10),
}


def test_the_map_shows_which_half_was_damaged(metric):
    """On a bundled photo, which mini was not trained on; each half in turn, every place by its middle."""
    photo = Image.open(min(PHOTOS.glob("*.jpg"))).convert("RGB")
    middle = photo.width // 2
    for question, damage in DAMAGE.items():
        damaged = damage(photo)
        areas = []
        for left, right in ((0, middle), (middle, photo.width)):
            changed = photo.copy()
            changed.paste(damaged.crop((left, 0, right, photo.height)), (left, 0))
            x = pil_to_tensor(changed)[None] / 255
            with torch.no_grad():
                scores = quality_map(metric, x, question, smooth=False)[0, 0].numpy()
            middles = np.arange(scores.shape[1]) * 32 + 16
            inside = (left <= middles) & (middles < right)
            areas.append(area(scores[:, inside].ravel(), scores[:, ~inside].ravel()))
        assert np.mean(areas) > 0.95 and min(areas) > 0.9, areas
