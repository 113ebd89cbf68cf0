"""Images in memory: a row for each, whatever its form, and a scorer that survives pickling."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipiqa_pyiqa import score_images, score_paths

DATA = Path(__file__).parents[1] / "data"

FILE = DATA / "canyon-wren.jpg"

GREY = np.full((40, 48, 3), 51, np.uint8)  # scores 0.2


def test_the_same_pixels_have_the_same_score_to_the_last_bit_in_every_form(metric, tmp_path):
    path = tmp_path / "photo.png"
    with Image.open(FILE) as image:
        image.convert("RGB").save(path)
    image = Image.open(path)
    content = path.read_bytes()
    pixels = np.array(image)
    forms = [
        *(path, content, Image.fromarray(pixels), Image.open(path), path.open("rb"), memoryview(content)),
        *(pixels, np.broadcast_to(pixels, pixels.shape), pixels[:, ::-1].copy()[:, ::-1], pixels.transpose(2, 0, 1)),
        *(torch.from_numpy(pixels).permute(2, 0, 1), pixels / 255, pixels / np.float32(255)),
        np.dstack([pixels, np.full_like(pixels[..., 0], 255)]),  # opaque
        (pixels.astype(np.uint16) << 8).astype(">u2"),  # another byte order
        *({"bytes": None, "path": str(path)}, {"bytes": content, "path": "gone.png"}, {"array": pixels}),
    ]
    found = score_images(metric, forms, ["quality", "sharpness"], device="cpu")[["quality", "sharpness"]]
    assert len(found) == len(forms) and found.nunique().tolist() == [1, 1]
    of_file = score_paths(metric, path, ["quality", "sharpness"], device="cpu").frame()
    assert of_file[["quality", "sharpness"]].iloc[0].tolist() == found.iloc[0].tolist()


def test_the_error_of_a_metric_on_a_small_image_says_that_its_size_may_be_the_cause():
    def blocks(x):
        return x.unfold(2, 96, 96).mean((1, 2, 3, 4))

    sizes = {"small": GREY, "large": np.full((96, 96, 3), 51, np.uint8)}
    scores = score_images({"blocks": blocks}, sizes.values(), device="cpu")
    small, large = scores["error"]
    assert "blocks: an image of 48×40 pixels may be too small for it; RuntimeError: " in small
    assert large == "" and scores["blocks"][1] == pytest.approx(0.2)
    twice = score_images({"twice": lambda x: x.mean((1, 2, 3)).repeat(2)}, [GREY], device="cpu")["error"][0]
    assert "2 scores came" in twice and "too small" not in twice  # an error of this package tells its cause
