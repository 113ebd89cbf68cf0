"""Several metrics of one run: columns, shared encoding, resume, what is refused."""

import pytest
from PIL import Image


def noise(path, height, width):
    Image.effect_noise((width, height), 90).convert("RGB").save(path)


@pytest.mark.quick
@pytest.mark.parametrize(
    "asked, named",
    {
        "lpips": "clipiqa table",
        "fid": "a set of images",
        "clipscore": "a caption",
        "mini MINI": "called 'mini'",
        "clipiqa:bckbone=mini": "'bckbone'",
        "'a=clipiqa:backbone=mini,prompts=[quality, sharpness],aggregate=null'": "one score",
        "mini --prompts sharpness --learned-prompts clipiqa+": "excludes",
    }.items(),
)
def test_metrics_that_cannot_share_a_run_are_refused(clipiqa, asked, named, tmp_path):
    noise(tmp_path / "a.png", 64, 64)
    clipiqa(f"score {tmp_path}/a.png --metrics {asked}", 2, named)
