"""The bundled small CLIP: found, checked, honest about the words it never saw, and its scores stay."""

from pathlib import Path

import torch
from assertions import refused
from tensors import assert_close

from clipiqa_pyiqa import CLIPIQA

pytest_plugins = ["weights_fakes"]

PHOTOS = Path(__file__).parents[1] / "data"

LOOKS = ["quality", "brightness", "noisiness", "colorfulness", "sharpness", "contrast"]


def test_mini_takes_fixed_sizes_but_no_positional_embedding(metric):
    refused(CLIPIQA, backbone="mini", pos_embedding="interpolate")
    fixed = CLIPIQA(backbone="mini", pos_embedding="fixed")
    x = torch.rand(1, 3, 224, 224)
    # 224 px are their own size, where resizing and cropping change nothing but rounding
    assert_close(fixed.encode_image(x), metric.encode_image(x), atol=1e-5)
    assert fixed(torch.rand(1, 3, 20, 300)).shape == (1, 1)


def test_commands_leave_out_pairs_with_unknown_words(clipiqa, caplog):
    said = clipiqa(f"radar {PHOTOS}/canyon-wren.jpg -b mini --max-side 64 -q", 0).out
    assert {line.split()[0] for line in said.splitlines()[1:]} == set(LOOKS)
    assert caplog.text.count("left out") == 1
