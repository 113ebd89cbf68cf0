"""``clipiqa radar``: which charts, where the points lie, and the three kinds of file."""

import numpy as np
from assertions import refused
from photos import save_grey

from clipiqa_pyiqa import CLIPIQA, radar


def test_a_heads_scale_is_that_of_people(clipiqa, tmp_path):
    paths = [save_grey(tmp_path / f"{level}.png", level) for level in (20, 90, 200)]
    (tmp_path / "s.csv").write_text("path,mos\n20.png,1\n90.png,5\n200.png,2\n")
    clipiqa("fit s.csv -b mini --method affine --range 1 5 --own-scale --out h.safetensors", 0)
    result = radar([f"{label}=h.safetensors" for label in "abc"], paths)
    np.testing.assert_allclose(result.shares(), ((result.frame - 1) / 4).clip(0, 1))
    # a head alone answers no questions of the paper
    clipiqa("radar 20.png --learned-prompts h.safetensors", 2, "three questions")
    refused(radar, CLIPIQA("clipiqa+", backbone="mini", pretrained_model_path="h.safetensors"), paths)


def test_charts_that_cannot_be_drawn_are_refused(clipiqa, tmp_path):
    for number in range(9):
        save_grey(tmp_path / f"{number}.png", number)
    clipiqa(f"radar {tmp_path}/1.png -p happy new --backbone mini", 2, "three questions")
    clipiqa(f"radar {tmp_path} --backbone mini", 2, "at most 8 images")
