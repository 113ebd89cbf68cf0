"""Flags of images of nearly one colour."""

import pytest
import torch
from photos import PHOTOS
from tensors import normal

from clipiqa_pyiqa.workbench.images.image import read_image
from clipiqa_pyiqa.workbench.images.uniform import flag


def noise(deviation, mean=20, side=96):
    return (mean + deviation * normal(3, side, side)) / 255


def test_what_is_of_nearly_one_colour():
    for x, expected in [
        (noise(2, 3), "almost black"),
        (torch.full((3, 40, 40), 1.0), "almost white"),
        (noise(6), "almost uniform"),  # a lens cap, at high ISO
        (noise(40, 128), ""),
        (noise(6) + torch.linspace(0, 0.2, 96), ""),
        (noise(2).index_fill(2, torch.arange(40, 44), 1.0), ""),  # a line
    ]:
        assert flag(x.clamp(0, 1)) == flag((255 * x.clamp(0, 1)).round().byte()) == expected


def test_photos_by_day_and_night_in_fog_and_with_grain_have_no_flag():
    for photo in PHOTOS:
        x = read_image(str(photo)).pixels[:, :512, :512] / 255
        for changed in (x, x / 8, 0.7 + x / 5, x + noise(25, 0, 512)[:, : x.shape[1], : x.shape[2]]):
            assert flag(changed.clamp(0, 1)) == ""


def photos():
    """The bundled photos, at most 512 px of each side."""
    return [read_image(str(photo)).pixels[:, :512, :512] / 255 for photo in PHOTOS]


@pytest.mark.quick
def test_photos_of_which_nothing_is_left_but_a_tenth_of_the_range():
    for x in photos():
        for factor in (0.04, 0.06, 0.09):
            assert flag((255 * factor * x).round().byte()) == "almost black"
            assert flag((255 - 255 * factor * x).round().byte()) == "almost white"


@pytest.mark.quick
def test_a_dark_photo_with_a_lamp_the_moon_or_more_levels_has_no_flag():
    night = (20 * photos()[0]).round().byte()
    assert flag(night) == "almost black"
    moon = night.clone()
    moon[:, 64:80, 64:80] = 220  # 0.1 % of the pixels, in one place
    assert flag(moon) == ""
    lamps = night.clone()
    lamps[:, ::25, ::25] = 220  # 0.16 % of the pixels, each alone
    assert flag(lamps) == ""
    stars = night.clone()
    stars[:, 30::100, 30::100] = 220  # like hot pixels
    assert flag(stars) == "almost black"
    assert flag((255 - moon.int()).byte()) == flag((255 - lamps.int()).byte()) == ""
