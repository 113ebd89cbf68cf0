"""Flags of images of nearly one colour, and bands without structure."""

import torch
from draws import normal
from photos import PHOTOS

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
